"""What is shown of a URI into which somebody has put keys or a signature; each secret here holds a `w`."""

from collections.abc import Callable

import pytest

from labelsync_provider.errors import SourcesFailed, Unavailable, invalid
from labelsync_provider.uris import printable, without, without_secrets

SHOWN = {
    # logins
    "s3://AKIA:wJ@bucket/a": "s3://***@bucket/a",
    "s3://AKIA:wJ/x@bucket": "s3://***@bucket",
    "s3://AKIA:wJ//+/w=@bucket/a/b": "s3://***@bucket/a/b",
    "s3://AKIA:w@J/w@bucket/a": "s3://***@bucket/a",
    "s3://ann@AKIA:w@bucket": "s3://***@bucket",
    "s3://wJ@bucket/a": "s3://***@bucket/a",
    "s3://AKIA:w?J@bucket/a": "s3://***@bucket/a",
    "s3://AKIA:w J@bucket/a": "s3://***@bucket/a",
    "s3://AKIA:w'J@bucket/a": "s3://***@bucket/a",
    "s3://AKIA%3AwJ%2Fx%40bucket/a": "s3://***@bucket/a",
    "s3://AKIA%3awJ%40bucket/a": "s3://***@bucket/a",
    "s3://AKIA:wJ/w/bucket": "s3://***",
    "s3://AKIAIOSFODNN7EXAMPLE/wJ/w@bucket": "s3://***@bucket",
    "S3://AKIA:wJ@bucket": "S3://***@bucket",
    "gs://:wJ@bucket": "gs://***@bucket",
    "redis://:wJ@host:6379/1/tasks/": "redis://***@host:6379/1/tasks/",
    "redis://default:w/J@host:6379/1": "redis://***@host:6379/1",
    "redis://:w://J@host/1": "redis://***@host/1",
    "azure-blob://account:wJ==@container/a": "azure-blob://***@container/a",
    "https://ann:wJ@labels.example.com/projects": "https://***@labels.example.com/projects",
    # signatures
    "https://a.blob.core.windows.net/c/b?sv=2022-11-02&sig=wJ%3D": "https://a.blob.core.windows.net/c/b?***",
    "azure-blob://c/b?sv=2022-11-02&se=2026&sig=wJ%3D": "azure-blob://c/b?***",
    "azure-blob://c/sv=2022-11-02&SIG=wJ%3D": "azure-blob://c/sv=2022-11-02?***",
    "https://b.s3.amazonaws.com/k?X-Amz-Credential=w&X-Amz-Signature=w": "https://b.s3.amazonaws.com/k?***",
    "s3://bucket/k?X-Amz-Security-Token=w": "s3://bucket/k?***",
    "s3://bucket/k%3FX-Amz-Signature%3Dw": "s3://bucket/k?***",
    "gs://bucket/k?a=1&X-Goog-Signature=w": "gs://bucket/k?***",
    "s3://bucket/k?AWSAccessKeyId=w&Expires=1&Signature=w": "s3://bucket/k?***",
    "https://host/page#token=w": "https://host/page?***",
    "s3://bucket/k?token=wJ": "s3://bucket/k?***",
    "gs://bucket/k?a=1&api_key=wJ": "gs://bucket/k?***",
    "gs://bucket/k?apikey=wJ": "gs://bucket/k?***",
    "gs://bucket/k;access_token=wJ": "gs://bucket/k?***",
    "gs://bucket/k#access_token=wJ": "gs://bucket/k?***",
    "redis://h/1?client_secret=wJ": "redis://h/1?***",
    "redis://h/1?passwd=wJ": "redis://h/1?***",
    "azure-blob://c/b?AccountKey=wJ": "azure-blob://c/b?***",
    "postgresql+psycopg://h/x?sslpassword=wJ": "postgresql+psycopg://h/x?***",
    "https://h/x&sig=wJ": "https://h/x?***",
    # mistyped
    "s3:/AKIA:wJ@bucket/a": "s3:/***@bucket/a",
    "s3:/AKIA:wJ/x@bucket": "s3:/***@bucket",
    "s3:/AKIA:wJ/x": "s3:/***",
    "s3:/bucket/k?X-Amz-Signature=w": "s3:/bucket/k?***",
    "s3:///AKIA:wJ@bucket/a": "s3:///***@bucket/a",
    "s3:AKIA:wJ@bucket/a": "s3:***@bucket/a",
    "s3//AKIA:wJ@bucket/a": "s3//***@bucket/a",
    "s3;//AKIA:wJ@bucket/a": "s3;//***@bucket/a",
    r"s3:\\AKIA:wJ@bucket": r"s3:\\***@bucket",
    "://AKIA:wJ@bucket/a": "://***@bucket/a",
    "redis:/:wJ@host": "redis:/***@host",
    "https:/ann:wJ@host/x": "https:/***@host/x",
    "azure:/account:wJ==@container": "azure:/***@container",
    # behind or within something else
    "error:s3://A:wJ@b": "error:s3://***@b",
    "at /s3://A:wJ@b, at": "at /s3://***@b, at",
    "ann@s3://A:wJ@b": "ann@s3://***@b",
    "ann@https://h/?sig=w": "ann@https://h/?***",
    "s3://bucket/s3://A:wJ@b/x": "s3://bucket/s3://***@b/x",
    "s3://u@s3://A:wJ@b": "s3://***@s3://***@b",
    "https://h/x/https://h/?token=w": "https://h/x/https://h/?***",
    "s3://bucket:s3://wJ@b": "s3://***@b",
    # texts that quote some
    "cannot read s3://AKIA:w J@bucket/a: 404": "cannot read s3://***@bucket/a: 404",
    "source='s3://AKIA:w'J/x@bucket/a': wrong": "source='s3://***@bucket/a': wrong",
    'source="redis://:w"J@host/1": wrong': 'source="redis://***@host/1": wrong',
    "at s3:/AKIA:w <J@bucket/k?sig=w at": "at s3:/***@bucket/k?*** at",
    "at s3:/AKIA:w, and s3:/AKIA:w J@b": "at s3:/***, and s3:/***@b",
    '["s3://AKIA:w/J@bucket/a", "/data", 5]': '["s3://***@bucket/a", "/data", 5]',
    "['s3://A:w@b', 'redis://:w@h/1']": "['s3://***@b', 'redis://***@h/1']",
    "s3://A:w@b, s3://A:w@c": "s3://***@b, s3://***@c",
    "<Endpoint>https://u:w@h/x</Endpoint>": "<Endpoint>https://***@h/x</Endpoint>",
    "host=h;redis://u:w@h|redis://u:w@h": "host=h;redis://***@h|redis://***@h",
    "source='s3://A:w@b/x': Ask ann@example.com": "source='s3://***@b/x': Ask ann@example.com",
}
KEPT = [
    "s3://bucket/photos",
    "s3://bucket/ann@example.com/a:b",
    "s3://bucket/sig=5/what?/x",
    "cannot list s3://bucket: 404. Ask ann@example.com",
    "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint:mine/a@b",
    "redis://1/tasks:*@",
    "redis://localhost:6379/0",
    "http://[::1]:8080/projects",
    "http://[2001:db8::1]/projects",
    "azure-blob://$root/a",
    "file:///data/ann@example.com?sig=5",
    "/data/ann:mine@example.com?sig=5",
    "no URI at all, ann@example.com",
    "s3://bucket/key@2x.png",
    "s3:/bucket/key@2x.png",
    "s3:bucket/key@2x.png",
    "s3://bucket/https://labels.example.com/a@2x.png",
    "s3://bucket/tokens?/x=5&page=2",
    "not allowed s3:GetObject on arn:aws:s3:::bucket/key@2x.png",
    "s3:ObjectCreated:Put",
    "wrong: s3:PutObject:x, ask ann@example.com",
    "file:///ann:mine@example.com/x",
    "http(s)://host[:port][/path]",
    "C:/data/ann@example.com",
    "at http://h:8080/x, ask ann@example.com",
    "",
]


@pytest.mark.parametrize(("uri", "shown"), SHOWN.items(), ids=list(SHOWN))
def test_login_or_signature_is_not_shown(uri: str, shown: str) -> None:
    assert without_secrets(uri) == shown
    assert without_secrets(shown) == shown, "twice is once"


@pytest.mark.parametrize("uri", KEPT)
def test_what_holds_none_is_shown_as_it_is(uri: str) -> None:
    assert without_secrets(uri) == uri


@pytest.mark.parametrize("value", ["s3://A:wJ/x@b", ["s3://A:wJ/x@b", 5], ("/data", "s3://A:wJ/x@b")], ids=str)
def test_error_about_a_parameter_shows_none(value: object) -> None:
    assert "wJ" not in str(invalid("source", value, "wrong", "Correct it."))


@pytest.mark.parametrize(
    "message",
    [
        "s3://bucket: cannot list: 404. Ask ann@example.com.",
        "http://127.0.0.1:8080: GET /api/tasks: 500, broken.",
        "http://[::1]:8080: GET /api/tasks: 500, broken.",
        "https://labels.example.com cannot be reached: refused.",
        "Use the base URL of a Label Studio server, http(s)://host[:port][/path], and nothing else.",
        "Photos of \u00e5ngstr\u00f6m and \u65e5\u672c: fine.",
    ],
)
def test_message_without_secrets_is_kept(message: str) -> None:
    assert str(Unavailable(message)) == message
    assert str(Unavailable(str(Unavailable(message)))) == message


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("s3://bucket: at https://h/k?X-Amz-Signature=w, denied", "s3://bucket: at https://h/k?***, denied"),
        ("to postgresql://ann:w@db/x and redis://:w@h/1", "to postgresql://***@db/x and redis://***@h/1"),
        ("a\nb\r\x1b[31m\x00\x85\u2028\u202e\ud800c", r"a\nb\r\x1b[31m\x00\x85\u2028\u202e\ud800c"),
    ],
)
def test_error_hides_the_secrets_and_escapes_the_line_breaks_that_it_quotes(said: str, shown: str) -> None:
    assert str(Unavailable(said)) == shown


def test_error_of_several_lines_has_these_and_no_others() -> None:
    assert str(SourcesFailed("two failed", "a\nb", "c", retry_may_help=True)) == "two failed\na\\nb\nc"


def test_printable_is_printable_and_loses_nothing_that_is() -> None:
    assert printable("photos/caf\u00e9 \u732b.jpg") == "photos/caf\u00e9 \u732b.jpg"
    assert printable("".join(map(chr, range(0x110000)))).isprintable()


def test_secret_that_the_other_side_repeats_is_hidden() -> None:
    assert without("no such key w1234, nor 12", ["w1234", "12", "", None]) == "no such key ***, nor 12"


@pytest.mark.parametrize(
    "text",
    [
        "," * 20_000 + "x",
        "a" * 20_000,
        "a=" * 10_000,
        "://" * 7_000,
        "s3://" * 4_000,
        "s3://" + "@" * 20_000,
        "s3://b/" + "?x-amz-" * 3_000,
        "s3://b" + ",;:." * 5_000 + "x",
        "s3://b/" + "%3f" * 6_000,
        "[" * 20_000,
        "http://" + "[:" * 10_000,
        "s3://a:" + "b:1" * 6_000,
        "\n" * 20_000,
        "\ud800" * 20_000,
        "s3:/a:b " * 2_500,
        "s3://a:b's3://" * 1_500,
        "x:s3://" * 3_000,
        "s3://a:" * 3_000 + "@",
        "s3://b/?" + "a-token" * 3_000,
        "s3://b/" + "?token" * 3_000,
        "s3;" * 7_000,
        "s3:" * 7_000,
        "a:/" * 7_000,
        "s3:" + "/" * 20_000,
        "s3:" + "\\" * 20_000,
    ],
    ids=lambda text: text[:12],
)
def test_time_grows_with_the_length_alone(text: str, processor_seconds: Callable[[], float]) -> None:
    str(Unavailable(text))
    without_secrets(text)
    assert processor_seconds() < 0.6  # what looks at a part again and again takes some seconds
