"""What services answer to a request that fails, as they document it, becomes the error that says what to do."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import obstore
import pytest
from obstore.exceptions import BaseError
from servers.process import HOST, free_port
from servers.redis import write_certificate
from servers.thread import serving

from labelsync_provider.errors import AlreadyThere, Denied, Invalid, LabelsyncError, NotFound, Unavailable, Unusable
from labelsync_provider.storages import azure_blob, gcs, s3
from labelsync_provider.storages.buckets import BucketStorage

pytestmark = pytest.mark.usefixtures("opened_quickly")

HttpServer = Callable[..., str]

TOKEN = "dG9rZW4tdG9rZW4tdG9rZW4="
KEY = "c2VjcmV0LXNlY3JldC1zZWNyZXQ="
SECRETS = [TOKEN, KEY, "sig=", "://127", "http://", "https://", "Signature="]


class Case(NamedTuple):
    """A documented answer, and what is made of it."""

    service: str
    status: int
    code: str
    message: str
    error: type[LabelsyncError]
    words: str
    rest: str = ""
    """More of the answer's body."""
    how: str = "list read write"
    """What is tried, of these."""
    headers: Mapping[str, str] = MappingProxyType({})


NO_BUCKET = r"There is no such bucket or container\. Create it, or correct the storage URI"
REFUSED = r"The credentials of connection '.*_default' are not accepted"
CLOCK = r"clock of this machine differs too much"
BUSY = r"cannot (list|read|write)"
NO_PERMISSION = r"The connection '.*_default' has no permission to (list|read|write) there"
REGION = r"[Ww]rong region: it is in (eu-west-1|another region)\. Set region_name in connection 'aws_default'"

# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
AMAZON = [
    Case("s3", 404, "NoSuchBucket", "The specified bucket does not exist", Unusable, NO_BUCKET),
    Case("s3", 404, "NoSuchKey", "The specified key does not exist.", NotFound, "cannot read a", how="read"),
    Case(
        "s3",
        403,
        "InvalidAccessKeyId",
        "The AWS Access Key Id you provided does not exist in our records.",
        Unusable,
        REFUSED,
        rest=f"<AWSAccessKeyId>{TOKEN}</AWSAccessKeyId>",
    ),
    Case(
        "s3",
        403,
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check your key and signing "
        "method.",
        Unusable,
        REFUSED,
        rest=(
            f"<StringToSign>AWS4-HMAC-SHA256 https://photos.example/a?sig={TOKEN}</StringToSign>"
            f"<SignatureProvided>{TOKEN}</SignatureProvided>"
        ),
    ),
    Case(
        "s3",
        400,
        "ExpiredToken",
        "The provided token has expired.",
        Unusable,
        REFUSED,
        rest=f"<Token-0>{TOKEN}</Token-0>",
    ),
    Case(
        "s3",
        400,
        "InvalidToken",
        "The provided token is malformed or otherwise not valid.",
        Unusable,
        REFUSED,
        rest=f"<Token-0>{TOKEN}</Token-0>",
    ),
    Case("s3", 403, "AccessDenied", "Access Denied", Denied, NO_PERMISSION),
    Case(
        "s3",
        400,
        "AuthorizationHeaderMalformed",
        "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'",
        Unusable,
        r"Wrong region: it is in eu-west-1\. Set region_name in connection 'aws_default'",
        rest="<Region>eu-west-1</Region>",
    ),
    Case(
        "s3",
        301,
        "PermanentRedirect",
        "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all "
        "future requests to this endpoint.",
        Unusable,
        REGION,
        rest="<Endpoint>photos.s3.eu-west-1.amazonaws.com</Endpoint>",
        headers={"x-amz-bucket-region": "eu-west-1"},
    ),
    Case(
        "s3",
        403,
        "RequestTimeTooSkewed",
        "The difference between the request time and the current time is too large.",
        Unusable,
        CLOCK,
    ),
    Case(
        "s3",
        403,
        "InvalidObjectState",
        "The operation is not valid for the object's storage class",
        Invalid,
        r"storage class\. It is archived\. Restore it first, or leave it out by regex_filter",
        how="read",
    ),
    Case("s3", 503, "SlowDown", "Please reduce your request rate.", Unavailable, "503 SlowDown"),
    Case("s3", 503, "ServiceUnavailable", "Reduce your request rate.", Unavailable, "503 ServiceUnavailable"),
    Case("s3", 429, "TooManyRequests", "Reduce your request rate.", Unavailable, "429 TooManyRequests"),
    Case("s3", 500, "InternalError", "We encountered an internal error. Please try again.", Unavailable, "500"),
    Case(
        "s3",
        400,
        "RequestTimeout",
        "Your socket connection to the server was not read from or written to within the timeout period.",
        Unavailable,
        "400 RequestTimeout",
    ),
    Case(
        "s3",
        400,
        "InvalidBucketName",
        "The specified bucket is not valid.",
        Invalid,
        "The specified bucket is not valid. The service refuses it.",
    ),
    Case(
        "s3",
        412,
        "PreconditionFailed",
        "At least one of the pre-conditions did not hold",
        AlreadyThere,
        "Another object is there",
        how="create",
    ),
    # "On a 409 failure, retry the upload": it may be that nothing is there.
    Case("s3", 409, "ConditionalRequestConflict", "Please retry.", Unavailable, "409", how="create"),
]

# https://cloud.google.com/storage/docs/xml-api/reference-status
GOOGLE = [
    Case("gcs", 404, "NoSuchBucket", "The specified bucket does not exist.", Unusable, NO_BUCKET),
    Case("gcs", 404, "NoSuchKey", "The specified key does not exist.", NotFound, "cannot read a", how="read"),
    Case("gcs", 401, "AuthenticationRequired", "Authentication required.", Unusable, REFUSED),
    Case(
        "gcs",
        401,
        "InvalidAuthentication",
        "The provided authentication header is invalid.",
        Unusable,
        REFUSED,
        rest=f"<Details>Bearer {TOKEN}</Details>",
    ),
    Case(
        "gcs",
        403,
        "AccessDenied",
        "Access denied.",
        Denied,
        NO_PERMISSION,
        rest="<Details>tests does not have storage.objects.get access to the Google Cloud Storage object.</Details>",
    ),
    Case("gcs", 429, "SlowDown", "Please reduce your request rate.", Unavailable, "429"),
    Case("gcs", 500, "InternalError", "We encountered an internal error. Please try again.", Unavailable, "500"),
    Case("gcs", 503, "ServiceUnavailable", "Service is unavailable.", Unavailable, "503"),
    Case(
        "gcs",
        412,
        "PreconditionFailed",
        "At least one of the pre-conditions did not hold.",
        AlreadyThere,
        "Another object is there",
        how="create",
    ),
]

# https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes, .../blob-service-error-codes
MICROSOFT = [
    Case("azure", 404, "ContainerNotFound", "The specified container does not exist.", Unusable, NO_BUCKET),
    Case("azure", 409, "ContainerBeingDeleted", "The specified container is being deleted.", Unusable, NO_BUCKET),
    Case("azure", 404, "BlobNotFound", "The specified blob does not exist.", NotFound, "cannot read a", how="read"),
    Case(
        "azure",
        403,
        "AuthenticationFailed",
        "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly "
        "including the signature.",
        Unusable,
        REFUSED,
        rest=(
            f"<AuthenticationErrorDetail>The MAC signature found in the HTTP request '{TOKEN}' is not the same as any "
            f"computed signature. Server used following string to sign: 'GET https://a/b?sig={TOKEN}'."
            "</AuthenticationErrorDetail>"
        ),
    ),
    Case(
        "azure",
        401,
        "NoAuthenticationInformation",
        "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.",
        Unusable,
        REFUSED,
    ),
    Case(
        "azure",
        403,
        "AuthorizationPermissionMismatch",
        "This request is not authorized to perform this operation using this permission.",
        Denied,
        NO_PERMISSION,
    ),
    Case(
        "azure",
        403,
        "AuthorizationFailure",
        "This request is not authorized to perform this operation.",
        Denied,
        NO_PERMISSION,
    ),
    Case("azure", 503, "ServerBusy", "The server is currently unable to receive requests.", Unavailable, "503"),
    Case("azure", 500, "OperationTimedOut", "The operation could not be completed in time.", Unavailable, "500"),
    Case(
        "azure",
        409,
        "BlobAlreadyExists",
        "The specified blob already exists.",
        AlreadyThere,
        "Another object is there",
        how="create",
    ),
    Case(
        "azure",
        409,
        "BlobArchived",
        "This operation is not permitted on an archived blob.",
        Invalid,
        r"It is archived\. Restore it first",
        how="read",
    ),
    Case(
        "azure",
        409,
        "PublicAccessNotPermitted",
        "Public access is not permitted on this storage account.",
        Unusable,
        "Public access is not permitted",
        how="list read",
    ),
]

ATTEMPTS: dict[str, Callable[[BucketStorage], object]] = {
    "list": lambda storage: list(storage.list()),
    "read": lambda storage: storage.read("a"),
    "write": lambda storage: storage.write("a", b"1"),
    "create": lambda storage: storage.write("a", b"1", create=True),
}

Opened = Callable[..., BucketStorage]


def failure(storage: BucketStorage, how: str) -> LabelsyncError:
    with pytest.raises(LabelsyncError) as caught:
        ATTEMPTS[how](storage)
    for secret in SECRETS:
        assert secret not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value


XML = {"Content-Type": "application/xml"}
MADE = {"ETag": '"1"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
LISTING = b"<?xml version='1.0'?><ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
LISTINGS = {
    "s3": LISTING,
    "gcs": LISTING,
    "azure": b"<?xml version='1.0'?><EnumerationResults><Blobs/><NextMarker/></EnumerationResults>",
}
"""Of nothing, by service."""

CASES = pytest.mark.parametrize("case", AMAZON + GOOGLE + MICROSOFT, ids=lambda case: f"{case.service}-{case.code}")


def answering(case: Case) -> Callable[[Any], tuple[Any, ...]]:
    text = f"<Code>{case.code}</Code><Message>{case.message}</Message>{case.rest}<RequestId>1</RequestId>"
    body = f'<?xml version="1.0" encoding="utf-8"?>\n<Error>{text}</Error>'.encode()
    headers = {**XML, "x-ms-error-code": case.code, **case.headers}

    def answer(asked: Any) -> tuple[Any, ...]:
        if case.error is not AlreadyThere or asked.method != "GET":
            return case.status, body, headers
        # What stands there is another object.
        return (200, b"2", MADE) if "/a" in asked.path else (200, LISTINGS[case.service], XML)

    return answer


@CASES
def test_answer_says_what_is_wrong_and_nothing_secret(http_server: HttpServer, opened: Opened, case: Case) -> None:
    storage = opened(case.service, http_server(answering(case)))
    for how in case.how.split():
        error = failure(storage, how)
        assert type(error) is case.error, f"{how}: {error}"
        assert_says(error, case.words)


def assert_says(error: LabelsyncError, words: str) -> None:
    with pytest.raises(type(error), match=words):
        raise error


@pytest.fixture
def reworded(monkeypatch: pytest.MonkeyPatch) -> None:
    """obstore, as if another version of it had other words for all that fails. The classes are the same."""
    for name in ("get", "put", "head"):
        monkeypatch.setattr(obstore, name, with_other_words(getattr(obstore, name)))


def with_other_words(function: Callable[..., Any]) -> Callable[..., Any]:
    def called(*given: Any, **named: Any) -> Any:
        try:
            return function(*given, **named)
        except (BaseError, FileNotFoundError) as error:
            raise type(error)("it went otherwise than was hoped") from None

    return called


@pytest.mark.usefixtures("reworded")
class TestWhatObstoreHasOtherWordsFor:
    @CASES
    def test_is_the_same_mistake(self, http_server: HttpServer, opened: Opened, case: Case) -> None:
        storage = opened(case.service, http_server(answering(case)))
        for how in case.how.split():
            if case.error is Invalid and how == "read":
                # Of what is archived, a listing says nothing; what was listed is read by the service's own client.
                with pytest.raises(Invalid, match=case.words):
                    storage.read("a", version="1")
            else:
                error = failure(storage, how)
                assert type(error) is case.error, f"{how}: {error}"

    @pytest.mark.parametrize(
        ("status", "error"), [(403, Denied), (404, NotFound), (503, Unavailable), (429, Unavailable)]
    )
    @pytest.mark.parametrize("service", ["s3", "gcs", "azure"])
    def test_is_of_the_object_where_the_bucket_can_be_listed(
        self, http_server: HttpServer, opened: Opened, service: str, status: int, error: type[LabelsyncError]
    ) -> None:
        def answer(asked: Any) -> tuple[Any, ...]:
            if "/a" in asked.path:
                return status, b"<Error><Code>ofTheObject</Code></Error>"
            return 200, LISTINGS[service], XML

        assert type(failure(opened(service, http_server(answer)), "read")) is error

    @pytest.mark.parametrize("service", ["s3", "gcs", "azure"])
    def test_is_of_the_object_where_the_bucket_may_not_be_listed(
        self, http_server: HttpServer, opened: Opened, service: str
    ) -> None:
        body = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"
        storage = opened(
            service,
            http_server(lambda asked: (404, b"") if "/a" in asked.path else (403, body, {"x-ms-error-code": "Denied"})),
        )
        assert type(failure(storage, "read")) is NotFound


def test_what_obstore_tells_is_not_asked_for_again(http_server: HttpServer, opened: Opened) -> None:
    asked: list[str] = []

    def answer(request: Any) -> tuple[Any, ...]:
        asked.append(request.path)
        return 404, b"<Error><Code>NoSuchKey</Code></Error>"

    assert type(failure(opened("s3", http_server(answer)), "read")) is NotFound
    assert asked == ["/photos/a"]


SERVICES = ["s3", "gcs", "azure"]


def failures(storage: BucketStorage) -> list[LabelsyncError]:
    """Return what comes of the SDK, which lists, and of obstore, which reads."""
    return [failure(storage, how) for how in ("list", "read")]


@pytest.mark.parametrize("service", SERVICES)
class TestAnswerOfSomethingBetween:
    @pytest.mark.parametrize("status", [502, 504])
    def test_that_is_no_xml_is_unavailable(
        self, http_server: HttpServer, opened: Opened, service: str, status: int
    ) -> None:
        page = f"<html><a href='https://proxy/?sig={TOKEN}'>Bad gateway</a></html>".encode()
        endpoint = http_server(lambda asked: (status, page, {"Content-Type": "text/html"}))
        for error in failures(opened(service, endpoint)):
            assert isinstance(error, Unavailable)
            assert_says(error, str(status))

    def test_that_is_an_empty_refusal_is_denied(self, http_server: HttpServer, opened: Opened, service: str) -> None:
        for error in failures(opened(service, http_server(lambda asked: (403, b"")))):
            assert type(error) is Denied, str(error)


# Azure's SDK follows such an answer while it lists, and tries for minutes.
@pytest.mark.parametrize("service", ["s3", "gcs"])
def test_answer_that_leads_elsewhere_is_an_error_of_the_storage(
    http_server: HttpServer, opened: Opened, service: str
) -> None:
    # As a proxy answers that wants to be spoken to over TLS.
    where = {"Location": f"https://{HOST}:{free_port()}/?sig={TOKEN}", "Content-Type": "text/html"}
    endpoint = http_server(lambda asked: (301, b"<html>moved</html>", where))
    failures(opened(service, endpoint))


@pytest.mark.parametrize("service", SERVICES)
class TestNoAnswer:
    def test_of_a_port_that_nobody_listens_on(self, opened: Opened, service: str) -> None:
        for error in failures(opened(service, f"http://{HOST}:{free_port()}")):
            assert isinstance(error, Unavailable)
            assert_says(
                error, r"the connection is refused\. Is the endpoint in connection '.*_default' the right one\?"
            )

    def test_of_a_host_that_is_not_there(self, opened: Opened, service: str) -> None:
        for error in failures(opened(service, "http://no-such-host.invalid")):
            assert isinstance(error, Unavailable)
            assert_says(error, r"there is no such host\. Is the endpoint")

    def test_of_a_certificate_that_nobody_signed(
        self, http_server: HttpServer, opened: Opened, service: str, tmp_path: Path
    ) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*write_certificate(tmp_path))
        for error in failures(opened(service, http_server(lambda asked: (200,), tls=context))):
            assert type(error) is Unusable
            assert_says(error, "the TLS connection to its endpoint cannot be trusted")

    def test_of_a_server_that_speaks_no_tls(self, http_server: HttpServer, opened: Opened, service: str) -> None:
        endpoint = http_server(lambda asked: (200,)).replace("http:", "https:")
        for error in failures(opened(service, endpoint)):
            assert type(error) is Unusable, str(error)
            assert_says(error, r"does not speak TLS\. Is it https\?")

    def test_in_time(self, silent: str, opened: Opened, monkeypatch: pytest.MonkeyPatch, service: str) -> None:
        soon = {"read_timeout": timedelta(seconds=0.3), "timeout": timedelta(seconds=0.3)}
        for module in (azure_blob, gcs, s3):
            monkeypatch.setattr(module, "CLIENT_OPTIONS", soon)
        monkeypatch.setitem(azure_blob.NO_RETRIES_OF_ITS_OWN, "read_timeout", 0.3)
        monkeypatch.setattr(gcs, "TIMEOUTS", (1, 0.3))
        storage: Any = opened(service, silent)
        if service == "s3":
            # The hook says 60 seconds.
            storage._service._client._endpoint.http_session._manager.connection_pool_kw["timeout"] = 0.3
        for error in failures(storage):
            assert isinstance(error, Unavailable)
            assert_says(error, "it did not answer in time")

    def test_all_of_it(self, http_server: HttpServer, opened: Opened, service: str) -> None:
        headers = {
            "Content-Length": "1000",
            "ETag": '"1"',
            "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT",
            "Content-Type": "application/xml",
            "Connection": "close",
        }
        endpoint = http_server(lambda asked: (200, b"<?xml version='1.0'?><ListBucketResult>", headers))
        for error in failures(opened(service, endpoint)):
            assert isinstance(error, Unavailable)
            assert_says(error, "its answer was cut off")

    def test_but_the_end_of_the_connection(self, hanging_up: str, opened: Opened, service: str) -> None:
        for error in failures(opened(service, hanging_up)):
            assert isinstance(error, Unavailable)
            assert_says(error, "the connection broke off")


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.create_server((HOST, 0), backlog=20) as server:
        yield f"http://{HOST}:{server.getsockname()[1]}"


@pytest.fixture
def hanging_up() -> Iterator[str]:
    """A server that hangs up on every request."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)

    with serving(hang_up) as port:
        yield f"http://{HOST}:{port}"


ODD = [
    "SSLError: timed out",
    "dns error",
    "status code: 503",
    "(code: 503)",
    "<Code>NoSuchBucket</Code>",
    "credential provider: gone",
    "failed to authenticate",
]


@pytest.mark.parametrize("service", SERVICES)
class TestKeyThatReadsLikeAFault:
    def test_changes_nothing_where_no_answer_comes(self, opened: Opened, service: str) -> None:
        storage = opened(service, f"http://{HOST}:{free_port()}")
        for key in ODD:
            with pytest.raises(Unavailable, match="the connection is refused"):
                storage.read(key)

    def test_changes_nothing_where_it_is_not_found(self, http_server: HttpServer, opened: Opened, service: str) -> None:
        body = b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Message>There is none.</Message></Error>"
        storage = opened(service, http_server(lambda asked: (404, body, {"x-ms-error-code": "BlobNotFound"})))
        for key in ODD:
            with pytest.raises(NotFound):
                storage.read(key)
