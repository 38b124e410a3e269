"""Reading a request: its id, who sent it, its query string and its body, each with limits."""

import io
from ipaddress import ip_network
from typing import Any

import pytest
from django.core.exceptions import DisallowedHost
from django.test import RequestFactory

from mesh.doors.http import requests
from mesh.errors import Invalid, Malformed, TooLarge, UnsupportedMediaType
from mesh.tests.declarations.library import operation

MIB = 1024 * 1024


def asked(**meta: Any) -> Any:
    return RequestFactory().get("/", **meta)


def sent(body: bytes, content_type: str = "application/json", **meta: Any) -> Any:
    return RequestFactory().generic("POST", "/", body, content_type, **meta)


@pytest.mark.parametrize("id", ["a", "order-7:a.b_c", "x" * 128, "0123456789abcdef"])
def test_a_request_id_that_was_sent_is_kept(id):
    assert requests.request_id_of(asked(HTTP_X_REQUEST_ID=id)) == id


@pytest.mark.parametrize("id", ["", "x" * 129, "a b", "a\n", "a\r\nSet-Cookie: x", "é", "<a>", "a\x00", "a/b"])
def test_a_request_id_that_is_none_is_replaced(id):
    made = {requests.request_id_of(asked(HTTP_X_REQUEST_ID=id)) for _ in range(2)}
    assert len(made) == 2
    assert all(len(each) == 32 and int(each, 16) >= 0 for each in made)


def test_a_host_is_taken_where_it_is_allowed(settings):
    settings.ALLOWED_HOSTS = ["api.example.com", ".example.org"]
    for host in ("api.example.com", "api.example.com:8000", "a.b.example.org"):
        for _ in range(2):  # the second time it is remembered
            assert requests.host_of(asked(HTTP_HOST=host)) == host
    for host in ("evil.example.com", "api.example.com.evil", "", "a b"):
        for _ in range(2):
            with pytest.raises(DisallowedHost):
                requests.host_of(asked(HTTP_HOST=host, SERVER_NAME="evil.example"))
    settings.ALLOWED_HOSTS = ["evil.example.com"]
    assert requests.host_of(asked(HTTP_HOST="evil.example.com")) == "evil.example.com"


@pytest.mark.parametrize(
    ("proxies", "peer", "forwarded", "address"),
    [
        ([], "192.0.2.1", "203.0.113.9", "192.0.2.1"),
        (["10.0.0.0/8"], "10.0.0.1", "203.0.113.9", "203.0.113.9"),
        (["10.0.0.0/8"], "10.0.0.1", "198.51.100.7, 203.0.113.9", "203.0.113.9"),
        (["10.0.0.0/8"], "10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        (["10.0.0.0/8"], "192.0.2.1", "203.0.113.9", "192.0.2.1"),
        (["10.0.0.0/8"], "10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        (["10.0.0.0/8"], "10.0.0.1", "nonsense", "nonsense"),
        (["10.0.0.0/8"], "10.0.0.1", "1.2.3.4, nonsense", "nonsense"),
        (["10.0.0.0/8"], "10.0.0.1", "x" * 500, "x" * 64),
        (["10.0.0.0/8"], "::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        (["2001:db8::/32"], "2001:db8::1", "203.0.113.9", "203.0.113.9"),
        (["0.0.0.0/0"], "", "203.0.113.9", "local"),
    ],
)
def test_an_address_is_believed_as_far_as_trusted_proxies_wrote_it(settings, proxies, peer, forwarded, address):
    settings.TRUSTED_PROXIES = [ip_network(proxy) for proxy in proxies]
    request = asked(REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=forwarded, HTTP_USER_AGENT="Browser")
    client = requests.client_of(request)
    assert (client.address, client.user_agent) == (address, "Browser")


def test_a_user_agent_is_cut_and_may_be_missing():
    assert requests.client_of(asked(HTTP_USER_AGENT="x" * 300)).user_agent == "x" * 255
    assert requests.client_of(asked()).user_agent == ""


@pytest.mark.parametrize(
    ("raw", "fields"),
    [
        ("", {}),
        ("a=1&b=2", {"a": "1", "b": "2"}),
        ("a=&b", {"a": "", "b": ""}),
        ("a=b%20c+d", {"a": "b c d"}),
        ("a=%C3%A9", {"a": "é"}),
        ("a=1=2", {"a": "1=2"}),
        ("%61=1", {"a": "1"}),
        ("&".join(f"f{n}=" for n in range(100)), {f"f{n}": "" for n in range(100)}),
    ],
)
def test_a_query_string_is_a_flat_object(raw, fields):
    for _ in range(2):
        found = requests.query_of(asked(QUERY_STRING=raw))
        assert found == fields
        found["more"] = "x"  # is of this request alone


@pytest.mark.parametrize("raw", ["a=%ff", "%ff=1", "a=%ed%a0%80", "&".join(f"f{n}=" for n in range(101))])
def test_a_query_string_that_cannot_be_read_is_malformed(raw):
    with pytest.raises(Malformed, match="not valid UTF-8, or has too many fields"):
        requests.query_of(asked(QUERY_STRING=raw))


def test_a_name_that_is_sent_twice_is_named():
    with pytest.raises(Invalid) as refused:
        requests.query_of(asked(QUERY_STRING="a=1&b=2&b=3&a=4"))
    assert refused.value.errors == [{"loc": ["query", "a"], "msg": "Sent more than once.", "type": "value_error"}]


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b" [1, 2.5, null, true] ", [1, 2.5, None, True]),
        (b'"\\u00e9"', "é"),
        ('{"é": "中"}'.encode(), {"é": "中"}),
        (b"0", 0),
        (b"1e5", 100000.0),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
    ],
)
def test_json_is_read(body, value):
    assert requests.parse_json(body) == value


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[1,]",
        b"{'a': 1}",
        b"NaN",
        b"Infinity",
        b"{} {}",
        b"\xef\xbb\xbf{}",
        b'"\xff"',
        b'"a\nb"',
        b"\x00",
        b"tru",
    ],
)
def test_what_is_no_json_is_malformed(body):
    with pytest.raises(Malformed, match="not valid JSON in UTF-8"):
        requests.parse_json(body)


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_json_may_be_32_levels_deep(opening, closing):
    assert requests.parse_json(opening * 32 + b"1" + closing * 32) not in ([], {})
    for deeper in (33, 64, 100_000):
        with pytest.raises(Malformed, match="nested deeper than 32 levels"):
            requests.parse_json(opening * deeper + b"1" + closing * deeper)


def test_many_containers_side_by_side_are_not_deep():
    assert len(requests.parse_json(b"[" + b"[]," * 10_000 + b"[]]")) == 10_001


def test_brackets_in_texts_are_not_deep():
    assert requests.parse_json(b'["' + b"[{" * 100 + b'"]') == ["[{" * 100]


def test_a_number_out_of_range_is_malformed():
    with pytest.raises(Malformed, match="out of range"):
        requests.parse_json(b"1e999999")


def test_a_body_is_json_by_default_and_by_any_json_type():
    book = operation("add_book")
    for content_type in ("", "application/json", "application/json; charset=utf-8", "application/merge-patch+json"):
        assert requests.body_of(sent(b'{"a":1}', content_type), book) == {"a": 1}
    for content_type in ("text/plain", "text/csv", "application/x-www-form-urlencoded", "multipart/form-data"):
        with pytest.raises(UnsupportedMediaType, match=r"^Send `Content-Type: application/json`\.$"):
            requests.body_of(sent(b'{"a":1}', content_type), book)


def test_nothing_is_an_empty_object_of_any_type():
    for content_type in ("", "application/json", "text/plain"):
        assert requests.body_of(sent(b"", content_type), operation("add_book")) == {}


def test_a_text_is_the_one_argument_where_it_is_taken():
    books = operation("import_books")
    assert requests.body_of(sent("title\né".encode(), "text/csv; charset=utf-8"), books) == {"csv": "title\né"}
    assert requests.body_of(sent(b'{"csv":"a"}'), books) == {"csv": "a"}
    with pytest.raises(Malformed, match="not valid UTF-8"):
        requests.body_of(sent(b"\xff", "text/csv"), books)
    with pytest.raises(UnsupportedMediaType, match="`Content-Type: application/json` or `text/csv`"):
        requests.body_of(sent(b"a", "text/plain"), books)


def test_a_body_may_have_a_mebibyte():
    assert requests.raw_body_of(sent(b"x" * MIB)) == b"x" * MIB
    with pytest.raises(TooLarge, match=r"1048576 bytes at most\. Hint\.$"):
        requests.raw_body_of(sent(b"x" * (MIB + 1)), " Hint.")


def body(content: bytes, **meta: Any) -> Any:
    request = asked(**meta)
    request.META["wsgi.input"] = io.BytesIO(content)
    return request


def test_a_body_is_as_long_as_it_says():
    assert requests.raw_body_of(body(b"abcdef", CONTENT_LENGTH="3")) == b"abc"
    assert requests.raw_body_of(body(b"abc", CONTENT_LENGTH="")) == b""
    assert requests.raw_body_of(body(b"abc", CONTENT_LENGTH="-3")) == b""
    with pytest.raises(Malformed, match="ended before its Content-Length"):
        requests.raw_body_of(body(b"ab", CONTENT_LENGTH="3"))
    with pytest.raises(Malformed, match="Content-Length is not a number"):
        requests.raw_body_of(body(b"ab", CONTENT_LENGTH="two"))


def test_a_body_in_chunks_is_read_to_its_end_but_no_further_than_the_limit():
    assert requests.raw_body_of(body(b"abc", HTTP_TRANSFER_ENCODING="chunked")) == b"abc"
    assert requests.raw_body_of(body(b"x" * MIB, HTTP_TRANSFER_ENCODING="Chunked")) == b"x" * MIB
    with pytest.raises(TooLarge):
        requests.raw_body_of(body(b"x" * (MIB + 5), HTTP_TRANSFER_ENCODING="chunked"))


def test_a_body_that_does_not_arrive_is_malformed():
    class Gone:
        def read(self, size: int) -> bytes:
            raise OSError("the client went away")

    request = asked(CONTENT_LENGTH="3")
    request.META["wsgi.input"] = Gone()
    with pytest.raises(Malformed, match="did not arrive"):
        requests.raw_body_of(request)


@pytest.mark.parametrize(
    ("prefer", "dry"),
    [
        ("", False), ("dry-run", True), ("Dry-Run", True), ("respond-async, dry-run", True), ("dry-run; wait=3", True),
        ("wait=3;dry-run", True), ("dry-run=true", False), ("dryrun", False), ("no-dry-run", False),
    ],
)  # fmt: skip
def test_a_dry_run_is_asked_for_by_its_name(prefer, dry):
    assert requests.prefers_dry_run(asked(**({"HTTP_PREFER": prefer} if prefer else {}))) is dry


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("10.0.0.1", True),
        ("::ffff:10.0.0.1", True),
        ("11.0.0.1", False),
        ("local", False),
        ("", False),
        ("10.0.0", False),
    ],
)
def test_an_address_is_trusted_where_its_network_is(settings, address, trusted):
    settings.TRUSTED_PROXIES = [ip_network("10.0.0.0/8")]
    assert requests.is_trusted(address) is trusted
