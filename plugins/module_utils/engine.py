# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The one way through: arguments → desired state → plan → apply → result. Every module comes through converge()."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Optional

from . import preflight
from .apply import Journal
from .compile import forwarding
from .compile.netns import compile_netns
from .compile.netns_service import Surroundings, compile_service
from .compile.persistence import compile_persistence
from .compile.stale_flows import stale_flows
from .compile.veth import compile_veth
from .compile.wanted import Wanted
from .desired.names import HOST, check_identity, where
from .desired.netns import timeout
from .desired.state import State
from .doors import conntrack
from .errors import Clash, NetnsError, NotConfirmed, SystemRefused
from .host_program import interpreter, source
from .ledger import Ledger, LedgerFile, Owner
from .lock import Lock
from .objects.directory import directories_in_use
from .objects.firewalld_policy import FirewalldPolicy
from .objects.foreign_accept import ForeignAccept
from .objects.kernel_object import KernelObject, Value
from .objects.link_route import LinkRoute
from .objects.namespace import LEFTOVER, STACKED, Namespace
from .objects.nft_table import NftTable
from .objects.policy_rule import PolicyRule
from .objects.running_service import STOPPED, RunningService
from .objects.sysctl import Sysctl
from .objects.text_file import TextFile
from .objects.veth_pair import NOWHERE, VethPair
from .plan import WITH_NAMESPACE, Change, make_plan, vanishing_pairs
from .request import Request, Result
from .rulesets import Rulesets
from .services import check_services, check_units, look_around
from .snapshot import Snapshot
from .system import System

Hold = Callable[[], None]


def converge(
    request: Request, check_mode: bool, system: Optional[System] = None, hold: Optional[Hold] = None
) -> Result:
    """Bring the host to what *request* says, or with *check_mode* only say what that would take.

    *hold* is called when all is in place that does not outlive a reboot, and before anything else is: it returns when
    that is confirmed, and raises NotConfirmed if it is not.

    Raises a NetnsError: InvalidOption, MissingDependency, Clash or Lockout before anything is touched, StepFailed
    after everything was undone.
    """
    if request.absent and request.single:
        check_identity(request.identity)
    state = State() if request.absent else State.from_options(request.options, request.single)
    warnings = preflight.check_privileges()
    system = system or System()
    try:
        with _lock(check_mode, system, state) as lock:
            run = _Run(system, request, state)
            if not check_mode and (lock.left_behind or run.ledger.unfinished):
                run.sweep()
            result = Result(run.plan(Snapshot(system)), warnings + run.warnings + run.rulesets.warnings)
            run.check_feasible(result.changes, really=not check_mode)
            if not check_mode:
                result.warnings += run.carry_out(result.changes, hold)
            return result
    finally:
        system.close()


def _lock(check_mode: bool, system: System, state: State) -> Lock:
    """The host's lock; where /run cannot even hold that, say what it means for namespaces."""
    lock = Lock(check_mode)
    try:
        lock.acquire()
    except SystemRefused:
        if state.namespaces:
            preflight.check_run_netns(system, really=False)
        raise
    return lock


class _Run:
    """One pass. plan() may be asked again, with a new snapshot, to verify what carry_out() did."""

    def __init__(self, system: System, request: Request, state: State) -> None:
        self.system = system
        self.request = request
        self.warnings: list[str] = []
        self.ledger = Ledger.load(system, (request.options, None if request.absent else state))
        self.written = self.ledger.saved
        self.known_owners = set(self.ledger.owners)
        self.name = request.owner
        self.foreign_owner = ""
        self.state = state
        self._claim()
        self.old = self.ledger.owners.get(self.name)
        self.others = self.ledger.others(self.name)
        self.wanted = Wanted()
        self.explicit: set[KernelObject] = set()
        self.machine_id = system.machine_id()
        self._around: Optional[Surroundings] = None
        self._program: dict[str, str] = {}
        #: With what earlier calls of the same module stated and this one leaves as it is.
        self.declared = (
            State.from_options(self._options(), request.single)
            if request.accumulates and self.old and not request.absent
            else state
        )
        owners = {**self.others, **({} if request.absent else {self.name: Owner({}, request.single)})}
        states = [self.declared if name == self.name else owner.state for name, owner in sorted(owners.items())]
        self.rulesets = Rulesets(system, self.ledger, state, states, lenient=request.remember is not None)

    def _claim(self) -> None:
        """Settle whose the resources are: a topology adopts what single modules made, never what another one lists."""
        request = self.request
        mine = {resource.identity for resource in self.state.resources} or {request.identity}
        adopted: set[KernelObject] = set()
        for name, owner in list(self.ledger.owners.items()):
            if name == self.name:
                continue
            for resource in owner.state.resources:
                held = resource.identity in mine or _same_pair(resource, request)
                if not held:
                    continue
                if owner.single and not request.single:
                    adopted |= owner.objects
                    self.ledger.drop_resource(name, resource.identity)
                elif owner.single:
                    self.name = name  # the same pair, named from its other end
                elif request.single and not request.absent:
                    self.foreign_owner = name
                elif resource.kind in ("netns", "veth", "netns_service"):
                    raise Clash(
                        f"{resource.kind} {resource.identity[-1]} belongs to {name}; change it there, "
                        "or remove it there first"
                    )
        if adopted:
            owner = self.ledger.owners.setdefault(self.name, Owner({}, self.request.single))
            owner.objects |= adopted

    # -- plan --

    def plan(self, snapshot: Snapshot, verifying: bool = False) -> list[Change]:
        """What it takes to get from *snapshot* to what is asked. *verifying*: asked again, after carrying it out."""
        self.wanted = wanted = Wanted()
        for netns in self.state.namespaces:
            compile_netns(netns, wanted)
        for veth in self.state.veths:
            compile_veth(veth, wanted, self.machine_id)
        self._compile_services()
        recorded = self._recorded()
        snapshot.prefetch([*wanted.objects, *recorded])
        self._explicit_removal(snapshot)
        if any(isinstance(item, Namespace) for item in (*recorded, *self.explicit)):
            snapshot.links(HOST)  # the other ends of pairs that end with a namespace
        if not verifying:
            preflight.check_forwards_of_others(self.state, self.others)
            preflight.check_policy_rules(wanted, self.others, snapshot)
            preflight.check_clashes(
                self.state, self.wanted, snapshot, set(self.ledger.made), self._owner_of, self.request.single
            )
            check_services(self.state, snapshot, set(self.ledger.made), self.request.single)
        leaving = self._leaving(recorded, snapshot)
        for place in sorted(forwarding.namespaces_concerned(self.state) | self._tables(recorded)):
            self.rulesets.compile(place, snapshot, wanted, {link for netns, link in leaving if netns == place})
        released = self._released(recorded)
        released.update(self._tables_released(snapshot, recorded))
        for item in self.explicit:
            released.pop(item, None)  # the key itself says what to do with processes inside
            released[item] = None
        self._let_go_with_namespaces(released, snapshot)
        self._recover_originals(released, snapshot)
        self._keep_routers(released, snapshot)
        for directory in directories_in_use(released, snapshot):
            del released[directory]
        changes = make_plan(wanted, released, snapshot)
        if self.request.services_later:
            changes = [change for change in changes if not isinstance(change.item, RunningService)]
        self._repairs(changes)
        return changes

    def _released(self, recorded: set[KernelObject]) -> dict[KernelObject, Optional[Value]]:
        """What this owner held and no longer asks for, with what was there before."""
        held_by_others = {item for owner in self.others.values() for item in owner.objects}
        return {
            item: self.ledger.made[item]
            for item in recorded
            if item in self.ledger.made
            and item not in held_by_others
            and item not in self.wanted.objects
            and self._lets_go(item)
        }

    def _leaving(self, recorded: set[KernelObject], snapshot: Snapshot) -> set[tuple[str, str]]:
        """Links that are there and go with this run: what leads through them now does not count any more."""
        released = {**self._released(recorded), **dict.fromkeys(self.explicit)}
        return {place for pair in vanishing_pairs(self.wanted, released, snapshot) for place in pair.links}

    def _compile_services(self) -> None:
        if self.state.services:
            self.system.systemd.require("services" if not self.request.single else "netns_service")
            self._around = self._around or look_around(self.system)
            for service in self.state.services:
                compile_service(service, self.state, self._around, self._text_to_be, self.wanted)
        if self.state.persist and self.state.resources:
            self.system.systemd.require("persist")
            self._program = self._program or source()
            compile_persistence(self._program, interpreter(), self.wanted)

    def _text_to_be(self, path: str) -> Optional[str]:
        """What a file will hold after this run: what is wanted, or what it held before us if we let it go."""
        item = TextFile(path)
        if item in self.wanted.objects:
            return self.wanted.objects[item]
        ours = self.old is not None and item in self.old.objects and item in self.ledger.made
        if ours and not any(item in owner.objects for owner in self.others.values()):
            return self.ledger.made[item]
        return self.system.files.read(path)

    def _recorded(self) -> set[KernelObject]:
        """What this owner held so far; its namespaces with what was said about the processes inside."""
        if self.old is None:
            return set()
        as_stated = {
            item.name: Namespace(item.name, item.processes, item.timeout) for item in self.old.state.namespaces
        }
        return {as_stated.get(item.name, item) if isinstance(item, Namespace) else item for item in self.old.objects}

    def _owner_of(self, item: KernelObject) -> str:
        return next((name for name, owner in self.others.items() if item in owner.objects), "")

    def _explicit_removal(self, snapshot: Snapshot) -> None:
        """``state: absent`` of a namespace or a pair by its own module means that name, whoever made it."""
        request = self.request
        if not (request.absent and request.single):
            return
        if request.identity[0] == "netns":
            options = request.options["namespaces"][0]
            patience = timeout("timeout", options.get("timeout"))
            item = Namespace(request.identity[1], options.get("processes") or "fail", patience)
            self.explicit = {item}
            users = [
                name
                for name, owner in self.others.items()
                if not owner.single and any(item.name in other.netns_names for other in owner.objects)
            ]
            if users:
                raise Clash(f"name: namespace {item.name!r} is used by {', '.join(users)}; remove it there first")
            if item.observed(snapshot):
                snapshot.links(item.name)
        elif request.identity[0] == "veth":
            place = (request.identity[1], request.identity[2])
            link = snapshot.links(place[0]).get(place[1])
            pair = snapshot.pair_at(place)
            if link is not None and pair is None:
                raise Clash(
                    f"name: {place[1]!r} {where(place[0])} is a link of type "
                    f"{link.type or 'physical'}, not a veth; it is left alone"
                )
            self.explicit = {pair} if pair else set()

    def _tables(self, recorded: set[KernelObject]) -> set[str]:
        """The namespaces with a table in which this owner had a part, or into which it puts a link."""
        ends = {end.netns for veth in self.state.veths for end in veth.ends}
        others = {item.netns for owner in self.others.values() for item in owner.objects if isinstance(item, NftTable)}
        return {item.netns for item in recorded if isinstance(item, NftTable)} | (others & ends)

    def _lets_go(self, item: KernelObject) -> bool:
        """Whether leaving *item* out means that it goes. Where options accumulate, only a list that is stated as a
        whole says so: routes to nowhere and rules, that is; what hangs on an interface is found there."""
        if self.request.absent or not self.request.accumulates:
            return True
        if isinstance(item, PolicyRule):
            return self._left_out(item)
        return (
            isinstance(item, LinkRoute)
            and not item.link
            and any((kind, netns) == (LinkRoute.kind, item.netns) for kind, netns, _link in self.wanted.whole)
        )

    def _left_out(self, rule: PolicyRule) -> bool:
        """Whether a list of rules is stated that *rule* is not in, and it is not in one that stays as it is."""
        kept = {(end.netns, *item.key) for veth in self.declared.veths for end in veth.ends for item in end.rules or ()}
        return (rule.netns, rule.version, rule.priority) not in kept and any(
            (kind, netns) == (PolicyRule.kind, rule.netns) for kind, netns, _link in self.wanted.whole
        )

    def _let_go_with_namespaces(self, released: dict[KernelObject, Optional[Value]], snapshot: Snapshot) -> None:
        """A pair ends with either of its namespaces, and is then forgotten with all that its module made; what does
        not hang on an interface stays in the other namespace, unless it goes now."""
        names = {item.name for item in released if isinstance(item, Namespace) and item.observed(snapshot)}
        leaving = [
            owner
            for owner in self.others.values()
            if owner.single and any(netns in names for item in owner.objects for netns in item.netns_names)
        ]
        staying = {item for owner in self.others.values() if owner not in leaving for item in owner.objects}
        for item in {item for owner in leaving for item in owner.objects} - staying:
            if isinstance(item, (PolicyRule, LinkRoute)) and not item.links and item in self.ledger.made:
                released.setdefault(item, self.ledger.made[item])

    def _tables_released(self, snapshot: Snapshot, recorded: set[KernelObject]) -> dict[KernelObject, None]:
        return {
            item: None
            for item in recorded
            if isinstance(item, (FirewalldPolicy, ForeignAccept, NftTable))
            and item not in self.wanted.objects
            and snapshot.exists(item.netns)
        }

    def _recover_originals(self, released: dict[KernelObject, Optional[Value]], snapshot: Snapshot) -> None:
        """A run that was killed may have changed settings of a namespace that it had just made, and whose values nobody
        had seen before: they are what they are in any new one."""
        for item, original in list(released.items()):
            if (
                isinstance(item, Sysctl)
                and original is None
                and item.netns
                and Namespace(item.netns) not in released
                and item.observed(snapshot) is not None
            ):
                released[item] = self.system.files.sysctl_of_new_namespace(item.template)

    def _keep_routers(self, released: dict[KernelObject, Optional[Value]], snapshot: Snapshot) -> None:
        """Where the host was made a router after we came, our switches are no longer the only reason for forwarding."""
        for item in list(released):
            if (
                isinstance(item, Sysctl)
                and item.path.startswith("net/ipv4/conf/")
                and item.path.endswith("/forwarding")
                and snapshot.sysctl(item.netns, forwarding.IPV4_GLOBAL) == "1"
            ):
                del released[item]

    def _repairs(self, changes: list[Change]) -> None:
        texts = [
            f"{change.item} (/run/netns/{change.item.name}) was {change.before}: repaired"
            for change in changes
            if isinstance(change.item, Namespace) and change.before in (LEFTOVER, STACKED) and change.after
        ]
        self.warnings.extend(text for text in texts if text not in self.warnings)

    # -- before anything is touched --

    def check_feasible(self, changes: list[Change], really: bool) -> None:
        """Refuse now what could only fail later. *really* allows a trial mount, which check mode must not make."""
        if changes and self.foreign_owner:
            raise Clash(
                f"{self.request.identity[0]} {self.request.identity[-1]} belongs to "
                f"{self.foreign_owner} and differs from what is "
                "asked here; change it there"
            )
        steps = [change for change in changes if not change.implied]
        if any(isinstance(change.item, NftTable) for change in steps):
            self.system.nft.require()
        preflight.check_processes(self.system, steps)
        preflight.check_returning_links(self.system, steps)
        check_units(self.state, steps, self.system, self.request.single)
        if any(isinstance(change.item, Namespace) and change.after for change in steps):
            preflight.check_run_netns(self.system, really)
        if self.request.confirm_timeout is None:
            held = [item for owner in self._before() for item in owner.forwards]
            new = [item for item in self.state.forwards if item.netns == HOST and item not in held]
            preflight.check_lockout(self.system, changes, new)

    def _before(self) -> list[State]:
        """What all owners wanted until now."""
        return [owner.state for owner in (*self.others.values(), *([self.old] if self.old else []))]

    # -- apply --

    def sweep(self) -> None:
        """Remove what a run that was killed left half-written; what it had made is in the ledger, so in the plan."""
        self.system.systemd.sweep()
        self.system.mounts.sweep()
        self.ledger.sweep(self.system)
        pairs = [item for item in self.ledger.made if isinstance(item, VethPair)]
        snapshot = Snapshot(self.system)
        snapshot.prefetch(pairs)
        for pair in pairs:
            if pair.observed(snapshot) is not None:
                bare = [place for place in pair.links if not snapshot.links(place[0])[place[1]].alias]
                self.system.mark(pair.links, bare)

    def carry_out(self, changes: list[Change], hold: Optional[Hold] = None) -> list[str]:
        """Do it, verify it, remember it; on failure the ledger, too, is as before. Returns warnings."""
        if not changes:
            if not self.foreign_owner:
                self._remember_unchanged()
            return []
        journal = Journal(self.system)
        previous = set(self.old.objects) if self.old else set()
        try:
            self._intend(changes, previous)
            rest = changes
            if hold:
                self._carry_out_until_reboot(journal, changes)
                hold()
                rest = [
                    replace(change, before=STOPPED) if change.after is None and not _lasting(change) else change
                    for change in changes
                    if change.item.PERSISTENT
                ]
            self._save(journal)
            journal.carry_out(rest)
            self._note_originals(journal.originals)
            journal.settle(lambda: self.plan(Snapshot(self.system), verifying=True), changes)
            self._remember(changes, journal.originals, previous)
            self._save(journal)
        except NotConfirmed as error:
            raise journal.failed(str(error), NotConfirmed) from None
        except (SystemRefused, OSError) as error:
            raise journal.failed(f"looking at what came of it failed: {error}") from error
        except BaseException:
            journal.undo()
            raise
        warnings = []
        for finish in (self._commit, self._forget_stale_flows):
            try:
                finish(changes)
            except (NetnsError, OSError) as error:
                warnings.append(f"all was done, but not what follows: {error}")
        return warnings

    def _carry_out_until_reboot(self, journal: Journal, changes: list[Change]) -> None:
        """All that is gone after a reboot, and so can be tried: not even the ledger knows of it."""
        tried = [
            replace(change, after=STOPPED) if isinstance(change.item, RunningService) else change
            for change in changes
            if not _lasting(change)
        ]
        journal.carry_out(tried)
        journal.settle(
            lambda: [change for change in self.plan(Snapshot(self.system), verifying=True) if not _lasting(change)],
            tried,
        )

    def _intend(self, changes: list[Change], previous: set[KernelObject]) -> None:
        """Before the first change: whatever is about to be made is written down as ours."""
        for change in changes:
            if change.item in self.wanted.objects and change.after is not None:
                self.ledger.made.setdefault(change.item, change.item.original(change.before))
        owner = Owner(
            self.old.options if self.old and self.request.absent else self._options(),
            self.request.single,
            previous | set(self.wanted.objects),
            self.declared,
        )
        self.ledger.owners[self.name] = owner
        self.ledger.unfinished = True

    def _remember(
        self, changes: list[Change], originals: dict[KernelObject, Value], previous: set[KernelObject]
    ) -> None:
        """After the last change: the ledger as it is from now on."""
        ledger = self.ledger
        ledger.unfinished = False
        self._note_originals(originals)
        for change in changes:
            if change.item not in self.wanted.objects:
                ledger.made.pop(change.item, None)
        gone = {change.item for change in changes if change.after is None} - set(self.wanted.objects)
        if self.request.absent or not (self.declared.resources or self.request.remember):
            ledger.owners.pop(self.name, None)
        else:
            objects = set(self.wanted.objects) | (previous - gone if self.request.accumulates else set())
            ledger.owners[self.name] = Owner(self._options(), self.request.single, objects, self.declared)
        self._prune(gone)
        self.rulesets.remember(self.wanted)
        held = {item for owner in ledger.owners.values() for item in owner.objects}
        ledger.listings = {netns: known for netns, known in ledger.listings.items() if NftTable(netns) in held}
        ledger.made = {item: value for item, value in ledger.made.items() if item in held}

    def _note_originals(self, originals: dict[KernelObject, Value]) -> None:
        """What only turned out while doing it: the value of a setting that came with its link or namespace."""
        made = self.ledger.made
        made.update({item: value for item, value in originals.items() if made.get(item) is None})

    def _remember_unchanged(self) -> None:
        """Nothing to do on the system; the ledger is written only if it is new that this owner asks for it."""
        objects = set(self.wanted.objects)
        if self.request.accumulates and self.old:
            objects |= self.old.objects
        if (
            self.request.absent
            or not self.declared.resources
            or not self.old
            or (self.old.options, self.old.objects) != (self._options(), objects)
            or self.ledger.owners.keys() != self.known_owners
            or self.ledger.unfinished
        ):
            self._remember([], {}, self.old.objects if self.old else set())
            self._save(Journal(self.system))

    def _prune(self, gone: set[KernelObject]) -> None:
        """Single resources that went with a namespace, or as the pair at a name that is another's now, are no more."""
        names = {item.name for item in gone if isinstance(item, Namespace)}
        for name, owner in list(self.ledger.owners.items()):
            if (
                name != self.name
                and owner.single
                and any(netns in names for item in owner.objects for netns in item.netns_names)
            ):
                del self.ledger.owners[name]
            else:
                owner.objects -= gone

    def _options(self) -> dict[str, Any]:
        """What the ledger keeps: where options accumulate, those given before and not given now as well."""
        options = self.request.options
        if self.request.remember is not None:
            return self.request.remember
        if not (self.request.accumulates and self.old):
            return options
        merged = {}
        for list_name, items in options.items():
            old = (self.old.options.get(list_name) or [{}])[0]
            if list_name == "veths" and items and _named_from_other_end(old, items[0]):
                old = {**old["peer"], "peer": {key: value for key, value in old.items() if key != "peer"}}
            merged[list_name] = [_merge(old, items[0])] if isinstance(items, list) and items else items
        return merged

    def _save(self, journal: Journal) -> None:
        """Write the ledger, as one more step that can be undone."""
        text = self.ledger.text()
        if text != self.written:
            journal.carry_out([Change(LedgerFile(), self.written, text)])
            self.written = text

    def _commit(self, changes: list[Change]) -> None:
        """Past undoing: let deleted namespaces end, and see their links off the host."""
        self.system.netlink.close()
        self.system.mounts.let_go()
        ended = {change.item.name for change in changes if isinstance(change.item, Namespace) and change.after is None}
        links = [
            place
            for change in changes
            if isinstance(change.item, VethPair) and change.implied == WITH_NAMESPACE
            for place in change.item.links
            if place[0] not in ended and place[0] != NOWHERE
        ]
        for netns, link in self.system.wait_for_links_gone(links) if links else ():
            self.system.delete_link(netns, link)

    def _forget_stale_flows(self, changes: list[Change]) -> None:
        """Flows that were translated by what held before and no longer does."""
        before = self._before()
        after = [owner.state for owner in self.ledger.owners.values()]
        for change in changes:
            netns = change.item.netns_names[0] if isinstance(change.item, NftTable) else None
            if netns is None or change.implied:
                continue
            local = {item.address.ip for item in self.system.netlink.addresses(netns)}
            sides = [
                (
                    [item for state in states for item in state.forwards if item.netns == netns],
                    [item for state in states for item in state.nat if item.netns == netns],
                )
                for states in (before, after)
            ]
            doomed = stale_flows(conntrack.flows(netns), local, sides[0], sides[1])
            if doomed:
                conntrack.forget(netns, doomed)


def _lasting(change: Change) -> bool:
    """Whether a change outlives a reboot: files, units, and what is started by them. A service that ends does so
    before its namespace."""
    return change.item.PERSISTENT and not (
        isinstance(change.item, RunningService)
        and change.after in (None, STOPPED)
        and change.before not in (None, STOPPED)
    )


def _merge(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return {key: _merge(old.get(key), new.get(key)) for key in {*old, *new}}
    return old if new is None else new


def _named_from_other_end(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """True if *new* calls that end of a pair the first which *old* calls the peer."""
    peer = old.get("peer") or {}
    return (peer.get("name"), peer.get("netns")) == (new["name"], new.get("netns"))


def _same_pair(resource: Any, request: Request) -> bool:
    """True if *request* names one end of a pair that is remembered by its other end."""
    if resource.kind != "veth" or not request.identity or request.identity[0] != "veth":
        return False
    return request.identity[1:] in [end.place for end in resource.ends]
