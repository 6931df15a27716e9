"""A PJSIP module that judges requests before pjsua sees them.

pjsua2 has no way to refuse an INVITE before it takes one of its few call slots, and answers OPTIONS by itself, always
with 200. PJSIP's C interface has: a module between the transaction layer and the dialogs
(https://docs.pjsip.org/en/latest/api/generated/pjsip/group/group__PJSIP__MOD.html). The library exports it, so ctypes
can call it. Only public functions are used, and one structure (`pjsip_module`) that has been the same since 2005; a
request is read by pjsua2's own `SipRxData`.

A build that hides these symbols has no gatekeeper (`install` returns None): then OPTIONS is always answered 200, and
calls are judged after they have taken a slot.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, Structure, byref, c_char_p, c_int, c_long, c_size_t, c_void_p
from typing import Any

import pjsua2 as pj

from connectors.sip.admission import Admission, Refusal

_PRIORITY = (
    28  # behind PJSIP_MOD_PRIORITY_TSX_LAYER (16): retransmissions of what was taken do not come; before UA (32)
)
_FROM_PJ = "_ZN2pj9SipRxData6fromPjER13pjsip_rx_data"
_POOL_BYTES = 1000
_OnRequest = CFUNCTYPE(c_int, c_void_p)


class _Str(Structure):
    """`pj_str_t`."""

    _fields_ = [("ptr", c_char_p), ("slen", c_long)]

    @classmethod
    def of(cls, text: str) -> _Str:
        data = text.encode()
        return cls(data, len(data))


class _Links(Structure):
    """The beginning of a list or of a member of one (`PJ_DECL_LIST_MEMBER`)."""


_Links._fields_ = [("prev", c_void_p), ("next", c_void_p)]


class _Module(Structure):
    """`pjsip_module`."""

    _fields_ = [
        ("links", _Links),
        ("name", _Str),
        ("id", c_int),
        ("priority", c_int),
        ("load", c_void_p),
        ("start", c_void_p),
        ("stop", c_void_p),
        ("unload", c_void_p),
        ("on_rx_request", _OnRequest),
        ("on_rx_response", c_void_p),
        ("on_tx_request", c_void_p),
        ("on_tx_response", c_void_p),
        ("on_tsx_state", c_void_p),
    ]


class Gatekeeper:
    """See the module; must live as long as the library runs."""

    def __init__(self, library: ctypes.CDLL, admission: Admission, refused: Callable[[Refusal], None]) -> None:
        """Bind the functions; raises `AttributeError` for one that is hidden."""
        self._admission, self._refused = admission, refused
        self._info = _bound(library, "pjsip_rx_data_get_info", c_char_p, c_void_p)
        self._respond = _bound(
            library, "pjsip_endpt_respond_stateless", c_int, c_void_p, c_void_p, c_int, c_void_p, c_void_p, c_void_p
        )
        self._header = _bound(
            library, "pjsip_generic_string_hdr_create", c_void_p, c_void_p, POINTER(_Str), POINTER(_Str)
        )
        self._make_pool = _bound(library, "pjsua_pool_create", c_void_p, c_char_p, c_size_t, c_size_t)
        self._drop_pool = _bound(library, "pj_pool_release", None, c_void_p)
        self._read = _bound(library, _FROM_PJ, None, c_void_p, c_void_p)
        self._endpoint = _bound(library, "pjsua_get_pjsip_endpt", c_void_p)()
        self._callback = _OnRequest(self._on_request)
        self._module = _Module(
            name=_Str.of("mod-omnigate-gate"), id=-1, priority=_PRIORITY, on_rx_request=self._callback
        )
        register = _bound(library, "pjsip_endpt_register_module", c_int, c_void_p, c_void_p)
        if register(self._endpoint, byref(self._module)) != 0:
            raise AttributeError("PJSIP takes no module")

    def _on_request(self, rdata: int) -> int:
        """Tell whether the request has been dealt with."""
        try:
            return int(self._judge(rdata))
        except Exception:  # noqa: BLE001 -- nothing can be raised into C
            return 0

    def _judge(self, rdata: int) -> bool:
        info = self._info(rdata) or b""
        if info.startswith(b"Request msg OPTIONS/"):
            refusal = self._admission.options()
        elif info.startswith((b"Request msg INVITE/", b"Request msg UPDATE/")):
            data = pj.SipRxData()
            self._read(int(data.this), rdata)
            refusal = self._admission.invite(data.srcAddress, data.wholeMsg)
            if refusal is not None:
                self._refused(refusal)
        else:
            return False
        if refusal is None:
            return False
        if refusal.code:
            self._answer(rdata, refusal)
        return True

    def _answer(self, rdata: int, refusal: Refusal) -> None:
        pool = self._make_pool(b"gate", _POOL_BYTES, _POOL_BYTES)
        try:
            name, value = ("Retry-After", str(refusal.retry_after)) if refusal.retry_after else ("", "")
            if refusal.contact:
                name, value = "Contact", f"<{refusal.contact}>"
            headers = _Links()
            headers.prev = headers.next = ctypes.addressof(headers)
            if name:
                header = self._header(pool, byref(_Str.of(name)), byref(_Str.of(value)))
                links = _Links.from_address(header)
                links.prev = links.next = ctypes.addressof(headers)
                headers.prev = headers.next = header
            self._respond(self._endpoint, rdata, refusal.code, None, byref(headers), None)
        finally:
            self._drop_pool(pool)


def _bound(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments
    return function


def install(admission: Admission, refused: Callable[[Refusal], None]) -> Gatekeeper | None:
    """Put a gatekeeper into the running library; None where this build has no way to."""
    try:
        from pjsua2 import _pjsua2  # noqa: PLC0415 -- other builds have it elsewhere

        return Gatekeeper(ctypes.CDLL(_pjsua2.__file__), admission, refused)
    except (ImportError, OSError, AttributeError):
        return None
