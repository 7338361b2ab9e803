"""Quaternion algebra on numpy arrays, wxyz, unit norm, leading batch axes.

A quaternion ``q`` is the orientation of the body in the world: ``rotate(q, v_b)`` is ``v_w``.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "conjugate",
    "continuous",
    "exponential",
    "from_roll_pitch_yaw",
    "logarithm",
    "multiply",
    "normalize",
    "rotate",
    "rotate_inverse",
    "slerp",
    "to_roll_pitch_yaw",
]


def normalize(q: np.ndarray) -> np.ndarray:
    """Scale quaternions ``(..., 4)`` to unit norm; ValueError where the norm is (nearly) zero."""
    norm = np.linalg.norm(q, axis=-1, keepdims=True)
    if np.any(norm < 1e-9):
        raise ValueError("a quaternion of norm 0 has no orientation")
    return np.asarray(np.asarray(q) / norm)


def continuous(q: np.ndarray) -> np.ndarray:
    """Flip signs along the first axis of ``(n, 4)`` so that neighbours are close and q[0].w >= 0.

    ``q`` and ``-q`` are one orientation; interpolation and filtering need neighbours on one side.
    """
    q = np.array(q, dtype=np.float64)
    steps = np.sum(q[1:] * q[:-1], axis=-1)
    signs = np.concatenate([[1.0], np.cumprod(np.where(steps < 0.0, -1.0, 1.0))])
    q *= signs[:, None]
    return -q if q[0, 0] < 0.0 else q


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hamilton product of ``(..., 4)`` and ``(..., 4)``: first ``b``, then ``a``."""
    aw, ax, ay, az = np.moveaxis(np.asarray(a), -1, 0)
    bw, bx, by, bz = np.moveaxis(np.asarray(b), -1, 0)
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=-1,
    )


def conjugate(q: np.ndarray) -> np.ndarray:
    """Inverse of unit quaternions ``(..., 4)``."""
    return np.asarray(np.asarray(q) * np.array([1.0, -1.0, -1.0, -1.0]))


def rotate(q: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Rotate vectors ``(..., 3)`` from the body into the world frame by ``(..., 4)``."""
    q = np.asarray(q)
    w, u = q[..., :1], q[..., 1:]
    t = 2.0 * np.cross(u, v)
    return np.asarray(v + w * t + np.cross(u, t))


def rotate_inverse(q: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Rotate vectors ``(..., 3)`` from the world into the body frame by ``(..., 4)``."""
    return rotate(conjugate(q), v)


def logarithm(q: np.ndarray) -> np.ndarray:
    """Rotation vector ``(..., 3)`` in radians of ``(..., 4)``, the shorter way round."""
    q = np.where(q[..., :1] < 0.0, -q, q)
    sine = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    angle = 2.0 * np.arctan2(sine, q[..., :1])
    small = sine < 1e-9
    factor = np.where(small, 2.0, angle / np.where(small, 1.0, sine))
    return np.asarray(q[..., 1:] * factor)


def exponential(v: np.ndarray) -> np.ndarray:
    """Quaternion ``(..., 4)`` of the rotation vector ``(..., 3)`` in radians."""
    v = np.asarray(v, dtype=np.float64)
    half = 0.5 * np.linalg.norm(v, axis=-1, keepdims=True)
    return np.concatenate([np.cos(half), 0.5 * v * np.sinc(half / np.pi)], axis=-1)


def slerp(a: np.ndarray, b: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    """Interpolate along the shorter arc; ``a``, ``b`` ``(m, 4)``, ``fraction`` ``(m,)`` in 0..1."""
    step = logarithm(multiply(conjugate(a), b))
    return normalize(multiply(a, exponential(step * np.asarray(fraction)[..., None])))


def from_roll_pitch_yaw(roll: np.ndarray, pitch: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """Quaternion of yaw, then pitch, then roll about the moving z, y, x axes [rad]."""
    roll, pitch, yaw = np.broadcast_arrays(roll, pitch, yaw)
    zero = np.zeros_like(roll, dtype=np.float64)
    about_x = exponential(np.stack([roll, zero, zero], axis=-1))
    about_y = exponential(np.stack([zero, pitch, zero], axis=-1))
    about_z = exponential(np.stack([zero, zero, yaw], axis=-1))
    return multiply(about_z, multiply(about_y, about_x))


def to_roll_pitch_yaw(q: np.ndarray) -> np.ndarray:
    """Roll, pitch, yaw ``(..., 3)`` [rad], the inverse of :func:`from_roll_pitch_yaw`."""
    w, x, y, z = np.moveaxis(np.asarray(q), -1, 0)
    roll = np.arctan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y))
    pitch = np.arcsin(np.clip(2.0 * (w * y - z * x), -1.0, 1.0))
    yaw = np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
    return np.stack([roll, pitch, yaw], axis=-1)
