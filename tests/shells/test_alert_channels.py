"""Channels against real servers on this machine: what arrives, what fails, and that no URL is ever shown."""

import logging
import pickle
import threading

import pytest
from apprise.plugins.twilio import NotifyTwilio

from adapters.alert_channels import Channel, SecretUrl, alert_urls, ping
from core.errors import RefusedError, UsageError
from tests.shells.alert_servers import api_server, smtp_server

TOKEN = "123456789:AAsecretsecretsecretsecretsecretsec"
SID, AUTH = "AC" + "a" * 32, "5ecre7" + "b" * 26
PASSWORD = "pa55-of-mail"


def channel(name, url, *, timeout=10.0, telegram="https://api.telegram.org"):
    return Channel(SecretUrl(name, url), timeout_seconds=timeout, telegram_url=telegram)


@pytest.fixture
def nothing_is_said(caplog, capfd):
    """Fail where a secret is in a log or an output."""
    caplog.set_level(logging.DEBUG)
    yield
    said = caplog.text + "".join(capfd.readouterr())
    assert not any(secret in said for secret in (TOKEN, AUTH, PASSWORD, "hook-secret"))


def test_a_mail_arrives_by_starttls_with_a_login(tmp_path, nothing_is_said):
    with smtp_server(tmp_path, "bob", PASSWORD) as (mailbox, port):
        query = "mode=starttls&verify=no&from=node@example.org&to=owner@example.org"
        good = channel("email", f"mailtos://bob:{PASSWORD}@127.0.0.1:{port}?{query}")
        assert good.send("CRITICAL: autotrade", "the breaker is HALTED, id 0123456789") == ""
        bad = channel("email", f"mailtos://bob:wrong@127.0.0.1:{port}?{query}")
        assert bad.send("title", "text") == "refused, or not reached"
    ((sender, receivers, subject, text),) = mailbox.mails
    assert (sender, receivers, subject) == ("node@example.org", ("owner@example.org",), "CRITICAL: autotrade")
    assert "the breaker is HALTED, id 0123456789" in text


def test_a_telegram_message_arrives_at_the_bot_api(nothing_is_said):
    with api_server() as api:
        told = channel("telegram", f"tgram://{TOKEN}/4711", telegram=f"http://127.0.0.1:{api.port}")
        assert told.send("CRITICAL: autotrade", "a < b & <b>a wish</b> of <module>\n\nrule, id 1") == ""
        ((path, text),) = api.asked
        assert path == f"/bot{TOKEN}/sendMessage"
        assert "CRITICAL: autotrade" in text
        assert "a &lt; b &amp; &lt;b&gt;a wish&lt;/b&gt; of &lt;module&gt;" in text
        assert text.endswith("\nrule, id 1")
        api.answer = lambda _: 401
        assert told.send("title", "text") == "refused, or not reached"


def test_an_sms_arrives_at_its_provider(nothing_is_said, monkeypatch):
    url = f"twilio://{SID}:{AUTH}@15551234567/15557654321"
    with api_server() as api:
        here = f"http://127.0.0.1:{api.port}/2010-04-01/Accounts/{{sid}}/Messages.json"
        names = [name for name, value in vars(NotifyTwilio).items() if "Messages.json" in str(value)]
        assert names
        for name in names:
            monkeypatch.setattr(NotifyTwilio, name, here)
        assert channel("sms", url).send("CRITICAL: autotrade", "the node has died") == ""
        ((path, text),) = api.asked
        assert path == f"/2010-04-01/Accounts/{SID}/Messages.json"
        assert "the node has died" in text


def test_any_other_service_is_reached_by_its_url_and_one_that_is_not_there_has_failed(nothing_is_said):
    with api_server() as api:
        told = channel("hook", f"json://user:hook-secret@127.0.0.1:{api.port}/alerts")
        assert told.send("title", "text") == ""
        assert api.asked == [("/alerts", "title\ntext")]
    assert told.send("title", "text") == "refused, or not reached"


def test_a_server_that_hangs_costs_its_time_out_and_its_thread_is_left_behind(nothing_is_said):
    with api_server() as api:
        api.released.clear()
        told = channel("hook", f"json://127.0.0.1:{api.port}/x", timeout=0.5)
        told._plugin.socket_read_timeout = 30.0
        assert [told.send("title", str(number)) for number in range(4)] == ["no answer within 0.5 s"] * 3 + ["it hangs"]
        api.released.set()
        for thread in [thread for thread in threading.enumerate() if thread.name == "to-hook"]:
            thread.join(10.0)
        assert told.send("title", "text") == ""


def test_a_url_that_is_not_known_is_refused_without_being_repeated():
    with pytest.raises(UsageError) as refused:
        channel("email", f"nonsense://{PASSWORD}")
    assert PASSWORD not in str(refused.value)
    assert "AUTOTRADE_ALERT_EMAIL_URL" in str(refused.value)


def test_urls_come_from_the_environment_private_files_and_dotenv_and_are_shown_nowhere(tmp_path):
    file, dotenv = tmp_path / "sms", tmp_path / ".env"
    file.write_text("twilio://x\n")
    file.chmod(0o600)
    dotenv.write_text("AUTOTRADE_ALERT_EMAIL_URL='mailto://y'\nAUTOTRADE_ALERT_HOOK_URL=json://other\n")
    dotenv.chmod(0o600)
    environ = {"AUTOTRADE_ALERT_HOOK_URL": "json://hook-secret", "AUTOTRADE_ALERT_SMS_URL_FILE": str(file), "HOME": "/"}
    urls = alert_urls(environ, dotenv)
    assert {name: url.text for name, url in urls.items()} == {
        "hook": "json://hook-secret", "sms": "twilio://x", "email": "mailto://y",
    }  # fmt: skip
    assert "hook-secret" not in repr(urls)
    with pytest.raises(TypeError):
        pickle.dumps(urls["hook"])
    file.chmod(0o644)
    with pytest.raises(RefusedError, match="open to others"):
        alert_urls(environ, dotenv)


def test_the_watchdog_hears_a_sign_of_life_and_nothing_is_said_of_its_url(nothing_is_said):
    with api_server() as api:
        url = SecretUrl("heartbeat", f"http://127.0.0.1:{api.port}/hook-secret")
        assert ping(url, timeout_seconds=5.0)
        assert api.asked[0][0] == "/hook-secret"
        api.answer = lambda _: 500
        assert not ping(url, timeout_seconds=5.0)
    assert not ping(url, timeout_seconds=5.0)
