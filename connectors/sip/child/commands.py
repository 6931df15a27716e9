"""What the parent can ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pjsua2 as pj

from connectors.sip.admission import Admission
from connectors.sip.child.account import Account
from connectors.sip.child.call import Call
from connectors.sip.child.context import Room

Command = dict[str, Any]


class Desk:
    """Carries out commands; each is answered by an event ``done`` with its `id`, and `error` if it failed."""

    def __init__(self, room: Room, accounts: dict[str, Account], admission: Admission) -> None:
        """Work with the calls of `room`."""
        self._room, self._accounts, self._admission = room, accounts, admission
        self._of_calls: dict[str, Callable[[Call, Command], None]] = {
            "answer": _answer,
            "hangup": _hangup,
            "flush": _flush,
            "hold": _hold,
            "resume": _resume,
            "transfer": _transfer,
            "join": _join,
            "dtmf": _dtmf,
        }

    def obey(self, command: Command) -> None:
        """Carry out one."""
        number = command.get("call", 0)
        try:
            answer = self._obey(command, number) or {}
        except pj.Error as exc:
            answer = {"error": exc.reason}
        except (KeyError, ValueError, RuntimeError) as exc:
            answer = {"error": str(exc)}
        if command.get("id"):
            self._room.link.tell("done", number, id=command["id"], **answer)

    def _obey(self, command: Command, number: int) -> dict[str, Any] | None:
        name = command["cmd"]
        if name == "ping":
            return None
        if name == "dial":
            self._dial(command)
        elif name == "drain":
            self._admission.draining = command["on"]
        elif name == "others":
            self._admission.others = command["uris"]
        elif (call := self._room.calls.get(number)) is None:  # it ended meanwhile: never touch it again
            raise ValueError("the call is over")
        elif name == "dialog":
            return {"uri": call.getInfo().remoteContact, "replaces": call.replaces()}
        else:
            self._of_calls[name](call, command)
        return None

    def _dial(self, command: Command) -> None:
        if not self._room.free or not self._room.calm:
            raise ValueError("no room for another call")
        account = self._accounts.get(command["line"]) or self._accounts[""]
        options = _usual()
        options.opt.customCallId = command["sip_call_id"]
        options.txOption.localUri = command.get("from") or ""
        for name, value in command.get("headers", {}).items():
            header = pj.SipHeader()
            header.hName, header.hValue = name, value
            options.txOption.headers.append(header)
        call = Call(account, self._room)
        self._room.link.tell("dialing", call.number, id=command.get("id", 0))
        try:
            call.makeCall(command["uri"], options)
        except pj.Error:
            if self._room.calls.pop(call.number, None) is not None and call.tap is not None:
                call.tap.release()
                self._room.taps.append(call.tap)
            raise


def _usual() -> Any:
    """Make parameters with the usual settings of a call."""
    return pj.CallOpParam(True)  # noqa: FBT003 -- pjsua2's own


def _parameters(command: Command) -> Any:
    options = _usual()
    if command.get("code"):
        options.statusCode = command["code"]
    if command.get("reason"):
        options.reason = command["reason"]
    if command.get("retry_after"):
        header = pj.SipHeader()
        header.hName, header.hValue = "Retry-After", str(command["retry_after"])
        options.txOption.headers.append(header)
    return options


def _answer(call: Call, command: Command) -> None:
    call.answer(_parameters(command))


def _hangup(call: Call, command: Command) -> None:
    call.hangup(_parameters(command))


def _flush(call: Call, _: Command) -> None:
    if call.tap is not None:
        call.tap.queue.clear()


def _hold(call: Call, _: Command) -> None:
    call.setHold(_usual())


def _resume(call: Call, _: Command) -> None:
    options = _usual()
    options.opt.flag |= pj.PJSUA_CALL_UNHOLD
    call.reinvite(options)


def _transfer(call: Call, command: Command) -> None:
    call.xfer(command["uri"], _usual())


def _join(call: Call, command: Command) -> None:
    """Attended transfer: the other side of `call` shall replace us in another call, which another process may have."""
    target = command["uri"].partition("<")[2].partition(">")[0] or command["uri"]
    target = target.partition("?")[0]
    call.xfer(f"<{target}?Replaces={quote(command['replaces'], safe='')}>", _usual())


def _dtmf(call: Call, command: Command) -> None:
    if command["method"] == "rfc4733":
        call.dialDtmf(command["digits"])
        return
    options = pj.CallSendDtmfParam()
    options.method, options.digits = pj.PJSUA_DTMF_METHOD_SIP_INFO, command["digits"]
    call.sendDtmf(options)
