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
            "join": self._join,
            "dtmf": _dtmf,
        }

    def obey(self, command: Command) -> None:
        """Carry out one."""
        error = None
        number = command.get("call", 0)
        try:
            self._obey(command, number)
        except pj.Error as exc:
            error = exc.reason
        except (KeyError, ValueError, RuntimeError) as exc:
            error = f"{type(exc).__name__}: {exc}"
        if command.get("id"):
            answer = {"error": error} if error else {}
            self._room.link.tell("done", number, id=command["id"], **answer)

    def _obey(self, command: Command, number: int) -> None:
        name = command["cmd"]
        if name == "ping":
            return
        if name == "dial":
            self._dial(command)
        elif name == "drain":
            self._admission.draining = bool(command["on"])
        elif name == "others":
            self._admission.others = command["uris"]
        elif (call := self._room.calls.get(number)) is None:  # it ended meanwhile: never touch it again
            raise ValueError("the call is over")
        else:
            self._of_calls[name](call, command)

    def _dial(self, command: Command) -> None:
        if not self._room.free:
            raise ValueError("no room for another call")
        account = self._accounts.get(command["line"]) or self._accounts[""]
        options = pj.CallOpParam(True)
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

    def _join(self, call: Call, command: Command) -> None:
        """Attended transfer: the other side of `call` shall replace us in another call, which may be elsewhere."""
        target = command["uri"].strip("<>").partition("?")[0]
        call.xfer(f"<{target}?Replaces={quote(command['replaces'], safe='')}>", pj.CallOpParam(True))


def _parameters(command: Command) -> Any:
    options = pj.CallOpParam(True)
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


def _flush(call: Call, command: Command) -> None:
    if call.tap is not None:
        call.tap.queue.clear()


def _hold(call: Call, command: Command) -> None:
    call.setHold(pj.CallOpParam(True))


def _resume(call: Call, command: Command) -> None:
    options = pj.CallOpParam(True)
    options.opt.flag |= pj.PJSUA_CALL_UNHOLD
    call.reinvite(options)


def _transfer(call: Call, command: Command) -> None:
    call.xfer(command["uri"], pj.CallOpParam(True))


def _dtmf(call: Call, command: Command) -> None:
    if command["method"] == "rfc4733":
        call.dialDtmf(command["digits"])
        return
    options = pj.CallSendDtmfParam()
    options.method, options.digits = pj.PJSUA_DTMF_METHOD_SIP_INFO, command["digits"]
    call.sendDtmf(options)
