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
