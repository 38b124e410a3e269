"""Splitting a search text into words."""

MOST_WORDS = 8  # each word is looked for in every candidate row


def words_of(text: str) -> list[str]:
    """The words to look for, without those that another word contains: a row with the longer one has both."""
    words = {_folded(word): word for word in text.split()}
    return [word for key, word in words.items() if not any(key in other for other in words if other != key)]


def _folded(word: str) -> str:
    """A word in upper case, letter by letter, as Postgres does it: `ß` does not become `SS`."""
    return "".join(upper if len(upper := letter.upper()) == 1 else letter for letter in word)
