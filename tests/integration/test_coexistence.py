# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other firewalls on the host drop what they do not know: declared flows work after one run, through one accept in
their table that lets nothing else through and goes with what it was for.
"""

from __future__ import annotations

import os
import re
import shutil

import pytest
from harness import (
    CLIENT4,
    MGMT4,
    SERVER4,
    SERVER6,
    SERVER_PORT,
    STRANGER4,
    UPLINK4,
    UPLINK6,
    Behind,
    topology,
)
from test_sabotage import converge, settled
from test_sabotage import run as sabotaged

IPTABLES = shutil.which("iptables-nft-restore", path=os.environ["PATH"] + ":/usr/sbin")
# Without root nothing here runs; with it, all of it has to.
assert IPTABLES or os.geteuid() != 0, "needs iptables: run scripts/setup test"

BIN = os.path.dirname(IPTABLES or "")
#: Where modules find iptables.
ENV = {"PATH": BIN + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

#: As Docker makes them.
DOCKER = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN
COMMIT
"""
POLICY = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
COMMIT
"""
#: A last rule instead of a policy.
REJECTING = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -i eth1 -m conntrack --ctstate NEW -j ACCEPT
-A FORWARD -j REJECT
COMMIT
"""
#: The end of it all in a chain of its own, as ufw has it.
AT_THE_END = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:the-end - [0:0]
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -j the-end
-A the-end -j LOG
-A the-end -j DROP
COMMIT
"""
NFT = """\
table inet theirs {
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state vmap { established : accept, related : accept, invalid : drop }
		iifname "eth1" tcp dport 22 accept comment "theirs"
	}
}
"""
NFT_ZONES = """\
table inet theirs {
	chain from_wan {
		tcp dport 22 accept
		drop
	}
	chain forward {
		type filter hook forward priority filter + 10;
		iifname "eth0" goto from_wan
		ip daddr 203.0.113.66 drop
		reject with icmpx admin-prohibited
	}
}
"""
FIREWALLS = {
    "docker": DOCKER,
    "iptables -P FORWARD DROP": POLICY,
    "a last rule that rejects": REJECTING,
    "a chain that drops": AT_THE_END,
    "nftables": NFT,
    "nftables by zones": NFT_ZONES,
}


def load(host, text):
    """Give a host a firewall."""
    if text.startswith("*"):
        for version in ("ip", "ip6"):
            host.run(f"{BIN}/{version}tables-nft-restore", input=text)
    else:
        host.run("nft", "-f", "-", input=text)


def saved(host):
    """Other people's rules, each by the tool of its own; counters left out."""
    texts = [host.run(f"{BIN}/{ip}tables-nft-save") for ip in ("ip", "ip6")]
    texts = [re.sub(r"\[\d+:\d+\]|^#.*", "", text, flags=re.M) for text in texts]
    listed = host.run("nft", "-s", "list", "ruleset")
    return [*texts, re.sub(r"table inet linuxnet_netns \{.*?\n\}\n", "", listed, flags=re.S)]


@pytest.fixture
def app(world):
    """A namespace that is yet to be made."""
    return Behind(world.host, "app", 1)


def declared(app, **more):
    forwards = [
        {"name": "web4", "port": "10105", "protocol": ["tcp", "udp"], "to_address": app.address4},
        {"name": "web6", "port": "10105", "protocol": ["tcp", "udp"], "to_address": app.address6},
    ]
    return topology(app, forwards=forwards, **more)


def assert_open(world, app):
    """What is declared works, both ways; what is not does not."""
    for proto in ("tcp", "udp"):
        assert app.ns.ask(SERVER4, SERVER_PORT, proto).seen == UPLINK4
        assert app.ns.ask(SERVER6, SERVER_PORT, proto).seen == UPLINK6
        for uplink in (UPLINK4, UPLINK6):
            assert world.internet.ask(uplink, 10105, proto).label == "app"
    for address in (app.address4, app.address6):
        assert not world.internet.reaches(address, 10105)


def serve(app):
    for proto in ("tcp", "udp"):
        app.serve(10105, proto=proto)


@pytest.mark.parametrize("text", FIREWALLS.values(), ids=FIREWALLS)
def test_what_is_declared_works_beside(world, app, text):
    host = world.host
    load(host, text)
    theirs, before = saved(host), host.snapshot()

    done = host.apply("netns_topology", env=ENV, **declared(app))
    assert not done.warnings
    assert "linuxnet-netns" in done.told
    serve(app)
    assert_open(world, app)
    # Theirs is as it was but for one chain of ours and what leads there.
    lines = [[line for line in part.splitlines() if "linuxnet-netns" not in line] for part in saved(host)[:2]]
    assert lines == [part.splitlines() for part in theirs[:2]]
    # Other people's traffic is still for them to decide about.
    host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    assert not world.internet.reaches(MGMT4, SERVER_PORT)
    host.run("sysctl", "-qw", "net.ipv4.ip_forward=0")

    host.module("netns_topology", env=ENV, state="absent")
    assert saved(host) == theirs
    host.assert_same(before, "absent left something behind")


def test_no_word_without_need(world, app):
    """Where nobody drops, or there is nobody, nothing is added: neither theirs nor ours."""
    host = world.host
    done = host.apply("netns_topology", env=ENV, **declared(app))
    bare = host.run("nft", "-s", "list", "ruleset")
    assert "mark" not in bare
    load(host, DOCKER.replace(":FORWARD DROP", ":FORWARD ACCEPT"))
    theirs = saved(host)
    host.unchanged("netns_topology", env=ENV, **declared(app))
    assert saved(host) == theirs
    assert "linuxnet-netns" not in done.told


@pytest.mark.parametrize("text", [DOCKER, NFT], ids=["docker", "nftables"])
def test_a_firewall_that_comes_later(world, app, text):
    """The next run finds that it drops, and mends it; when it goes, so does what it took."""
    host = world.host
    host.module("netns_topology", env=ENV, **declared(app))
    serve(app)
    ours = host.run("nft", "-s", "list", "table", "inet", "linuxnet_netns")
    load(host, text)
    assert not app.ns.reaches(SERVER4, SERVER_PORT)
    host.repair("netns_topology", env=ENV, **declared(app))
    assert_open(world, app)
    host.unchanged("netns_topology", env=ENV, **declared(app))
    for table in ("ip filter", "ip6 filter") if text is DOCKER else ("inet theirs",):
        host.run("nft", "delete", "table", *table.split())
    host.repair("netns_topology", env=ENV, **declared(app))
    assert host.run("nft", "-s", "list", "table", "inet", "linuxnet_netns") == ours


DRIFT = {
    "the jump is gone": "iptables-nft -D FORWARD -j linuxnet-netns",
    "it is there twice": "iptables-nft -A FORWARD -j linuxnet-netns",
    "the rule is gone": "iptables-nft -F linuxnet-netns",
    "all of it is gone": "iptables-nft -D FORWARD -j linuxnet-netns; iptables-nft -F linuxnet-netns;"
    "iptables-nft -X linuxnet-netns",
    "something else is in it": "iptables-nft -A linuxnet-netns -j ACCEPT",
    "somebody drops before it": "iptables-nft -I FORWARD -i eth1 -j REJECT; iptables-nft -I FORWARD 3 -j REJECT",
}


@pytest.mark.parametrize("act", DRIFT.values(), ids=DRIFT)
def test_drift(world, app, act):
    host = world.host
    load(host, DOCKER)
    host.module("netns_topology", env=ENV, **declared(app))
    serve(app)
    host.sh(f"PATH={BIN}:$PATH; {act}")
    done = host.repair("netns_topology", env=ENV, **declared(app))
    assert [change["kind"] for change in done.changes] == ["accept"]
    assert_open(world, app)
    host.unchanged("netns_topology", env=ENV, **declared(app))


def test_somebody_else_appends_a_rule(world, app):
    """What drops on purpose wins over ours, also when it came later; ours stays last."""
    host = world.host
    load(host, POLICY)
    host.module("netns_topology", env=ENV, **declared(app))
    serve(app)
    host.run(f"{BIN}/iptables-nft", "-A", "FORWARD", "-s", STRANGER4, "-j", "DROP")
    host.repair("netns_topology", env=ENV, **declared(app))
    assert_open(world, app)
    assert not world.internet.reaches(UPLINK4, 10105, source=STRANGER4)
    assert world.internet.reaches(UPLINK4, 10105, source=CLIENT4)


@pytest.mark.parametrize(
    "rule, words",
    [
        ("-I DOCKER-USER -i veth-app -j DROP", ["nat out-app", "ip filter", "DOCKER-USER", "iifname veth-app drop"]),
        ("-I FORWARD -d 10.200.1.2 -p tcp --dport 10105 -j REJECT", ["forward web4", "FORWARD", "10105"]),
    ],
)
def test_a_rule_that_drops_on_purpose_is_named(world, app, rule, words):
    host = world.host
    load(host, DOCKER)
    host.run(f"{BIN}/iptables-nft", *rule.split())
    host.refuses("netns_topology", *words, "is dropped", "meta mark & 0x4000000", env=ENV, **declared(app))


def test_a_chain_before_ours_is_named(world, app):
    host = world.host
    host.run("nft", "-f", "-", input=NFT.replace("priority filter", "priority -150"))
    host.refuses("netns_topology", "inet theirs", "policy drop", "priority 0", env=ENV, **declared(app))


def test_without_iptables_nft_does_it(world, app):
    """The tables of iptables-nft are there, the program is not."""
    host = world.host
    load(host, DOCKER)
    theirs = saved(host)
    elsewhere = {"PATH": "/nowhere"}
    hidden = [
        f"{where}/{ip}tables{kind}-restore"
        for where in ("/usr/sbin", "/sbin")
        for ip in ("ip", "ip6")
        for kind in ("", "-nft")
    ]
    host.sh("".join(f"[ ! -e {path} ] || mount --bind /dev/null {path}\n" for path in hidden))
    done = host.module("netns_topology", env=elsewhere, **declared(app))
    assert done.changed
    serve(app)
    assert_open(world, app)
    host.module("netns_topology", env=elsewhere, state="absent")
    host.sh("".join(f"umount -q {path} || :\n" for path in hidden))
    assert saved(host) == theirs


@pytest.mark.parametrize("how", ["refuse", "lost", "kill"])
@pytest.mark.parametrize("text", [DOCKER, NFT], ids=["docker", "nftables"])
def test_whatever_goes_wrong_theirs_is_as_before(world, app, text, how):
    """tests/saboteur.py lets each act on a firewall, ours or theirs, go wrong."""
    host, request = world.host, {"options": declared(app)}
    load(host, text)
    before = settled(host)
    acts = converge(host, request)["acts"]
    converge(host, {"absent": True})
    concerned = [number for number, act in enumerate(acts, 1) if act.startswith(("nft", "iptables", "ip6tables"))]
    assert len(concerned) >= 2
    for number in concerned:
        about = f"{how} {number}: {acts[number - 1]}"
        answer = sabotaged(host, how, number, request)
        if how == "kill":
            assert answer is None, about
            converge(host, {"absent": True})
        else:
            assert "sabotage" in answer["error"] and "in part" not in answer["error"], answer
        host.assert_same(before, about)


def test_a_mark_of_somebody_else_survives(world, app):
    """Marks are for whoever set them: ours is a bit beside, and gone when the packet leaves."""
    host = world.host
    load(host, POLICY)
    host.run(
        "nft",
        "-f",
        "-",
        input="""
table inet marks {
	chain before {
		type filter hook prerouting priority -250
		meta mark set 0x2a
	}
	chain behind {
		type filter hook postrouting priority 300
		meta mark 0x2a counter comment "same"
		meta mark & 0x04000000 != 0 counter comment "ours"
	}
}
""",
    )
    host.module("netns_topology", env=ENV, **declared(app))
    serve(app)
    assert_open(world, app)
    seen = host.run("nft", "list", "chain", "inet", "marks", "behind")
    assert re.search(r'mark 0x0000002a counter packets [1-9]\d* bytes \d+ comment "same"', seen)
    assert 'counter packets 0 bytes 0 comment "ours"' in seen


def test_a_namespace_with_a_firewall(host):
    """The firewall is another namespace's, where the NAT is."""
    load_in = "*filter\n:INPUT ACCEPT\n:FORWARD DROP\n:OUTPUT ACCEPT\nCOMMIT\n"
    options = {
        "namespaces": [{"name": "router"}, {"name": "app"}],
        "veths": [
            {
                "name": "up0",
                "addresses": ["10.9.0.1/24"],
                "peer": {"name": "eth0", "netns": "router", "addresses": ["10.9.0.2/24"], "gateway": "10.9.0.1"},
            },
            {
                "name": "app0",
                "netns": "router",
                "addresses": ["10.8.0.1/24"],
                "peer": {"name": "eth0", "netns": "app", "addresses": ["10.8.0.2/24"], "gateway": "10.8.0.1"},
            },
        ],
        "nat": [{"name": "out", "netns": "router", "source": ["10.8.0.0/24"]}],
    }
    host.module("netns_topology", env=ENV, **dict(options, nat=[]))
    host.ns("router").run(f"{BIN}/iptables-nft-restore", input=load_in)
    host.apply("netns_topology", env=ENV, **options)
    assert "-A FORWARD -j linuxnet-netns" in host.ns("router").run(f"{BIN}/iptables-nft", "-S")
    host.serve("10.9.0.1", 7)
    assert host.ns("app").ask("10.9.0.1", 7).seen == "10.9.0.2"


@pytest.mark.parametrize("text", [DOCKER, NFT], ids=["docker", "nftables"])
def test_single_modules(routed, text):
    """Each module adds what its own flows need; the last one to go takes it along."""
    host, app = routed.host, routed.app
    load(host, text)
    theirs = saved(host)
    host.apply("netns_nat", env=ENV, **app.nat())
    assert app.ns.ask(SERVER4, SERVER_PORT).seen == UPLINK4
    app.serve(10105)
    host.apply("netns_forward", env=ENV, name="web", port="10105", to_address=app.address4)
    assert routed.internet.ask(UPLINK4, 10105).label == "app"
    host.module("netns_nat", env=ENV, name="out", state="absent")
    assert routed.internet.ask(UPLINK4, 10105).label == "app"
    host.module("netns_forward", env=ENV, name="web", state="absent")
    assert saved(host) == theirs
    for table in ("ip filter", "ip6 filter") if text is DOCKER else ("inet theirs",):
        host.run("nft", "delete", "table", *table.split())
