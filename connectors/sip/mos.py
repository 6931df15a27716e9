"""How a call sounded, estimated from its statistics: the E-model of ITU-T G.107, simplified.

R = 93.2 - Id - Ie,eff (G.107 §7.1 with the default values of everything that is not measured; the simplification of
https://www.itu.int/rec/T-REC-G.107, as in RFC 6035 §4.7 and Cole & Rosenbluth, "Voice over IP performance monitoring",
2001). MOS is made of R by G.107 Annex B.
"""

from __future__ import annotations

R_DEFAULT = 93.2
CODECS = {
    "PCMU": (0.0, 4.3),
    "PCMA": (0.0, 4.3),
    "G722": (13.0, 4.3),
    "GSM": (20.0, 4.3),
    "iLBC": (11.0, 32.0),
}
"""Codec → equipment impairment Ie and robustness to loss Bpl (ITU-T G.113 Appendix I)."""


def mos(codec: str, *, lost: int, received: int, jitter_ms: float, buffer_ms: float, rtt_ms: float) -> float:
    """Estimate the mean opinion score of listening, 1 to 4.5.

    Args:
        codec: name as in SDP; of another one G.711's values are taken.
        lost: packets that did not come, or came too late.
        received: packets that came.
        jitter_ms: mean interarrival jitter; twice that is taken for the delay it causes, where the buffer is unknown.
        buffer_ms: mean delay of the jitter buffer.
        rtt_ms: mean round trip of the network.
    """
    impairment, robustness = CODECS.get(codec, CODECS["PCMU"])
    expected = lost + received
    percent = 100.0 * lost / expected if expected else 0.0
    delay = rtt_ms / 2 + max(buffer_ms, 2 * jitter_ms) + 20.0
    delay_impairment = 0.024 * delay + (0.11 * (delay - 177.3) if delay > 177.3 else 0.0)
    loss_impairment = impairment + (95.0 - impairment) * percent / (percent + robustness)
    return _score(R_DEFAULT - delay_impairment - loss_impairment)


def _score(rating: float) -> float:
    if rating <= 0:
        return 1.0
    if rating >= 100:
        return 4.5
    score = 1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6
    return round(min(4.5, max(1.0, score)), 2)
