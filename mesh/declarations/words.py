"""The words of a search: each once, and few of them."""

MOST_WORDS = 8  # each is looked for in every row that may be found


def words_of(text: str) -> list[str]:
    """The words that decide: without those that another one contains, for what holds the one holds both."""
    words = {_folded(word): word for word in text.split()}
    return [word for key, word in words.items() if not any(key in other for other in words if other != key)]


def _folded(word: str) -> str:
    """A word in one case, letter by letter, as Postgres has it: its `ß` is not `SS`."""
    return "".join(upper if len(upper := letter.upper()) == 1 else letter for letter in word)
