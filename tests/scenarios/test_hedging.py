"""A call that hangs is made once more elsewhere, within its budget, on the wired system."""

from whole import until

ENV = {"HEADRACE_HEDGE_SHARE": "0.5", "HEADRACE_HEDGE_AFTER_S": "0.2"}


def first_alpha(ours):
    ours["providers"]["alpha"]["priority"] = 10


def test_a_call_that_hangs_is_answered_elsewhere_and_its_socket_is_closed(start):
    system = start("unlimited", configure=first_alpha, env=ENV)
    system.fault(kind="stall", provider="alpha")

    def jobs():
        with system.http() as http:
            return http.get("/v1/jobs").json()["data"]

    with system.sdk(max_retries=0, timeout=60) as sdk:
        asking = {"model": "sim-small", "messages": [{"role": "user", "content": "Hello?"}]}
        earned = {**asking, "model": "beta/sim-small"}  # two calls earn one second call
        sdk.chat.completions.create(**earned)
        answer = sdk.chat.completions.create(**asking)
    assert answer.choices[0].message.content.startswith("sim-")
    job = jobs()[0]
    (made,) = job["attempts"]
    assert (made["deployment"], made["outcome"]) == ("beta/sim-small", "succeeded")
    assert made["hedge"]["deployment"] == "alpha/sim-small"
    assert made["hedge"]["outcome"] == "stopped"
    assert job["uncertain_repeats"] == 1
    assert job["route"]["chosen"] == "beta/sim-small"
    store = system.stack.store()
    until(lambda: not store.exists("{hr}:run"))
    assert not store.hexists(f"{{hr}}:job:{job['id']}", "hedge")
    store.close()


def test_a_job_may_wish_for_a_second_call_and_another_for_none(start):
    system = start("unlimited", configure=first_alpha, env=ENV)
    system.fault(kind="stall", provider="alpha")
    chat = {"model": "sim-small", "messages": [{"role": "user", "content": "Hello?"}]}
    wished = {"kind": "chat", "request": chat}

    def seen(provider):
        return system.simulated()["providers"][provider]["total"]

    with system.http() as http:

        def submit(**wish):
            answer = http.post("/v1/jobs", json={**wished, **wish})
            assert answer.status_code == 202, answer.text
            return answer.json()["id"]

        submit(hedge="never", priority="interactive")
        until(lambda: seen("alpha")["received"] >= 1)
        earned = {**chat, "model": "beta/sim-small"}  # it pays for half of the second call
        http.post("/v1/chat/completions", json=earned).raise_for_status()
        http.post("/v1/chat/completions", json=earned).raise_for_status()
        answered = seen("beta")["answered_200"]
        system.fault(kind="stall", provider="alpha")
        job = submit(hedge="auto", priority="normal")
        (made,) = until(lambda: http.get(f"/v1/jobs/{job}").json()["attempts"])
        assert made["hedge"]["deployment"] == "alpha/sim-small"
        assert seen("beta")["answered_200"] == answered + 1  # and none for the job that waits
