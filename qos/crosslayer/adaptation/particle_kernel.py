"""A particle filter over the complex gain of many users' channels, compiled.

Each particle is a window of `O` gains (see `clarke_bank`); reports and acknowledgements weigh the
particles by the SNR that each gives for the slot that they are about (sequential importance
resampling, Gordon, Salmond & Smith 1993, with stratified resampling, Kitagawa 1996).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qos.compiled import compiled
from qos.crosslayer.adaptation.arrays import Float, Modes
from qos.crosslayer.adaptation.clarke_bank import ClarkeBank

Single = NDArray[np.float32]

FINE_SHIFT, COARSE_SHIFT = 18, 19
"""A float's bits shifted right by this: a logarithmic bin, 32 or 16 to a doubling."""
FINE_FIRST, FINE_BINS = (127 - 20) << 5, 36 << 5
"""Bins of power from 2^-20 to 2^16 (-60 to +48 dB)."""
COARSE_FIRST, COARSE_BINS = (127 - 4) << 4, 16 << 4
"""Bins of power from 2^-4 to 2^12 (-12 to +36 dB): where modes differ."""
POOL = 1 << 16
LOOSE = np.float32(0.1)
"""Past gains that the window leaves more open than this are drawn, as future ones are."""
LOST_LIKELIHOOD = 1e-2
"""Reports whose mean likelihood under the particles is below this say that the track is lost."""


class Particles(NamedTuple):
    """State of the filter; `U` users, `N` particles.

    Attributes
    ----------
    real, imaginary
        The gains, shape ``(U, O, N)``, a ring over the second axis.
    head
        Place of the newest instant in the ring, shape ``(U,)``.
    newest_slot
        Slot of the newest instant, shape ``(U,)``.
    weight
        Of each particle, sums to 1 for a user, shape ``(U, N)``.
    model
        Model of the bank that each user's particles follow, shape ``(U,)``.
    mean_power
        Mean SNR, linear, shape ``(U,)``.
    random
        State of each user's random numbers, shape ``(U,)``.
    """

    real: Single
    imaginary: Single
    head: NDArray[np.int64]
    newest_slot: NDArray[np.int64]
    weight: Single
    model: NDArray[np.int64]
    mean_power: Float
    random: NDArray[np.uint64]


class Tables(NamedTuple):
    """What the filter looks up.

    Attributes
    ----------
    normals
        Unit normals, shape ``(2 POOL,)``: the second half repeats the first.
    strata_real, strata_imaginary
        Evenly spread complex normals, shape ``(2 N,)``: the second half repeats the first.
    level_db
        SNR in dB of each fine bin.
    success
        Probability that a mode's block arrives in each coarse bin, shape ``(M, COARSE_BINS)``.
    goodput
        `success` times the mode's bits, shape ``(COARSE_BINS, M)``.
    """

    normals: Single
    strata_real: Single
    strata_imaginary: Single
    level_db: Single
    success: Single
    goodput: Single


class SlotNews(NamedTuple):
    """What became known at a slot.

    Attributes
    ----------
    slot, lead_slots
        The slot to decide, and how far back of it the newest observation can lie.
    fed_slot, fed_mode, fed_ack
        The slot that the acknowledgements are about, modes (-1: nothing sent) and outcomes.
    report_slot, report_db, is_new
        Slot that each new report is about, the report, and whether it is new; shape ``(U,)``.
    noise_db
        Standard deviation of each user's reports, shape ``(U,)``.
    price_bits
        What a failed block costs each user beyond the share of `target`, in bits, shape ``(U,)``.
    target
        Block error rate that the prices steer to.
    """

    slot: int
    lead_slots: int
    fed_slot: int
    fed_mode: Modes
    fed_ack: NDArray[np.bool_]
    report_slot: NDArray[np.int64]
    report_db: Single
    is_new: NDArray[np.bool_]
    noise_db: Float
    price_bits: Float
    target: float


@compiled
def _draw(random: NDArray[np.uint64], user: int) -> int:
    """Give the next random number of a user (xorshift64, Marsaglia 2003), below 2^32."""
    state = random[user]
    state ^= state << np.uint64(13)
    state ^= state >> np.uint64(7)
    state ^= state << np.uint64(17)
    random[user] = state
    return int(state >> np.uint64(32))


@compiled
def restart(user: int, slot: int, particles: Particles, bank: ClarkeBank, tables: Tables) -> None:
    """Draw a user's particles afresh from the stationary law, newest instant at `slot`."""
    real, imaginary = particles.real[user], particles.imaginary[user]
    factor = bank.factor[particles.model[user]]
    count = real.shape[1]
    real[:] = 0
    imaginary[:] = 0
    order = real.shape[0]
    for column in range(order):
        start = _draw(particles.random, user) % (POOL - 2 * count)
        for row in range(column, order):
            gain = factor[row, column]
            for particle in range(count):
                real[row, particle] += gain * tables.normals[start + particle]
                imaginary[row, particle] += gain * tables.normals[start + count + particle]
    particles.head[user] = 0
    particles.newest_slot[user] = slot
    particles.weight[user, :] = 1.0 / count


@compiled
def _take_up(
    user: int, slot: int, report_db: float, particles: Particles, bank: ClarkeBank, tables: Tables
) -> None:
    """Draw particles afresh, all with the reported power at `slot`: the track was lost."""
    newest = particles.newest_slot[user]
    restart(user, newest, particles, bank, tables)
    model = particles.model[user]
    at = min(max(slot - newest - bank.first_offset[model], 0), bank.weights.shape[1] - 1)
    weights, cross = bank.weights[model, at], bank.cross[model, at]
    wanted = np.sqrt(10 ** (report_db / 10) / particles.mean_power[user])
    real, imaginary = particles.real[user], particles.imaginary[user]
    order = real.shape[0]
    for particle in range(real.shape[1]):
        gain_real, gain_imaginary = np.float32(0), np.float32(0)
        for row in range(order):
            gain_real += weights[row] * real[row, particle]
            gain_imaginary += weights[row] * imaginary[row, particle]
        for row in range(order):
            real[row, particle] += cross[row] * np.float32(wanted - gain_real)
            imaginary[row, particle] -= cross[row] * gain_imaginary


@compiled
def _advance(user: int, particles: Particles, bank: ClarkeBank, tables: Tables) -> None:
    """Move a user's particles one instant on."""
    model = particles.model[user]
    real, imaginary = particles.real[user], particles.imaginary[user]
    head, count, order = particles.head[user], real.shape[1], real.shape[0]
    fresh = (head + order - 1) % order  # the ring runs backwards: row head + j is j instants old
    start = _draw(particles.random, user) % (POOL - 2 * count)
    spread = bank.innovation[model]
    new_real = spread * tables.normals[start : start + count]
    new_imaginary = spread * tables.normals[start + count : start + 2 * count]
    for lag in range(order):
        gain = bank.coefficients[model, lag]
        row_real, row_imaginary = real[(head + lag) % order], imaginary[(head + lag) % order]
        for particle in range(count):
            new_real[particle] += gain * row_real[particle]
            new_imaginary[particle] += gain * row_imaginary[particle]
    real[fresh] = new_real
    imaginary[fresh] = new_imaginary
    particles.head[user] = fresh
    particles.newest_slot[user] += bank.step_slots[model]


@compiled
def _power_at(
    user: int, slot: int, particles: Particles, bank: ClarkeBank, tables: Tables, ahead: bool, out: Single
) -> None:
    """Write each particle's SNR (linear) at `slot` into `out`; `ahead` adds what is not known of it."""
    model = particles.model[user]
    real, imaginary = particles.real[user], particles.imaginary[user]
    head, count, order = particles.head[user], out.size, real.shape[0]
    offset = slot - particles.newest_slot[user]
    step = bank.step_slots[model]
    mean = np.float32(particles.mean_power[user])
    if offset <= 0 and -offset % step == 0 and -offset // step < order:
        row = (head + -offset // step) % order
        for particle in range(count):
            out[particle] = mean * (real[row, particle] ** 2 + imaginary[row, particle] ** 2)
        return
    at = min(max(offset - bank.first_offset[model], 0), bank.weights.shape[1] - 1)
    part_real = np.zeros(count, np.float32)
    part_imaginary = np.zeros(count, np.float32)
    spread = bank.spread[model, at]
    if ahead or spread > LOOSE:
        turn = _draw(particles.random, user) % count
        part_real = spread * tables.strata_real[turn : turn + count]
        part_imaginary = spread * tables.strata_imaginary[turn : turn + count]
    for lag in range(order):
        gain = bank.weights[model, at, lag]
        row_real, row_imaginary = real[(head + lag) % order], imaginary[(head + lag) % order]
        for particle in range(count):
            part_real[particle] += gain * row_real[particle]
            part_imaginary[particle] += gain * row_imaginary[particle]
    for particle in range(count):
        out[particle] = mean * (part_real[particle] ** 2 + part_imaginary[particle] ** 2)


@compiled
def _resample(user: int, particles: Particles) -> None:
    """Give every weight 1/N again where fewer than half of the particles carry weight."""
    weight = particles.weight[user]
    count = weight.size
    total, squares = np.float64(0), np.float64(0)
    for particle in range(count):
        total += weight[particle]
        squares += np.float64(weight[particle]) ** 2
    if total <= 0:
        weight[:] = 1.0 / count
        return
    for particle in range(count):
        weight[particle] /= total
    if total * total > 0.5 * count * squares:
        return
    chosen = np.empty(count, np.int64)
    first = _draw(particles.random, user) / 4294967296.0
    reached, source = np.float64(weight[0]), 0
    for particle in range(count):
        wanted = (particle + first) / count
        while reached < wanted and source < count - 1:
            source += 1
            reached += weight[source]
        chosen[particle] = source
    real, imaginary = particles.real[user], particles.imaginary[user]
    kept = np.empty(count, np.float32)
    for row in range(real.shape[0]):
        for particle in range(count):
            kept[particle] = real[row, chosen[particle]]
        real[row] = kept
        for particle in range(count):
            kept[particle] = imaginary[row, chosen[particle]]
        imaginary[row] = kept
    weight[:] = 1.0 / count


@compiled
def _weigh_acknowledgement(
    user: int, power: Single, mode: int, arrived: bool, particles: Particles, tables: Tables
) -> None:
    bits = power.view(np.int32)
    weight = particles.weight[user]
    for particle in range(power.size):
        place = min(max((bits[particle] >> COARSE_SHIFT) - COARSE_FIRST, 0), COARSE_BINS - 1)
        likely = tables.success[mode, place]
        weight[particle] *= max(likely if arrived else 1 - likely, np.float32(1e-3))


@compiled
def _weigh_report(
    user: int, power: Single, report_db: float, noise_db: float, particles: Particles, tables: Tables
) -> float:
    """Weigh the particles by a report; return the report's mean likelihood, 1 at best."""
    bits = power.view(np.int32)
    weight = particles.weight[user]
    total = np.float64(0)
    sharp = np.float32(-0.5 / (noise_db * noise_db))
    for particle in range(power.size):
        place = min(max((bits[particle] >> FINE_SHIFT) - FINE_FIRST, 0), FINE_BINS - 1)
        off = tables.level_db[place] - np.float32(report_db)
        weight[particle] *= np.exp(sharp * off * off)
        total += weight[particle]
    return total


@compiled
def _best_mode(
    user: int, power: Single, particles: Particles, tables: Tables, price_bits: float, target: float
) -> int:
    """Return the mode of most expected bits less the price of its error rate; -1 where none is worth it."""
    bits = power.view(np.int32)
    share = np.zeros(COARSE_BINS, np.float32)
    for particle in range(power.size):
        place = min(max((bits[particle] >> COARSE_SHIFT) - COARSE_FIRST, 0), COARSE_BINS - 1)
        share[place] += particles.weight[user, particle]
    expected = np.zeros(tables.goodput.shape[1], np.float32)
    for place in range(COARSE_BINS):
        if share[place] > 0:
            for mode in range(expected.size):
                expected[mode] += share[place] * tables.goodput[place, mode]
    if price_bits == 0:
        return int(np.argmax(expected))
    for mode in range(expected.size):
        arrives = np.float32(0)
        for place in range(COARSE_BINS):
            arrives += share[place] * tables.success[mode, place]
        expected[mode] -= np.float32(price_bits) * (np.float32(1 - target) - arrives)
    best = int(np.argmax(expected))
    return best if expected[best] > 0 else -1


@compiled
def filter_slot(particles: Particles, bank: ClarkeBank, tables: Tables, news: SlotNews, modes: Modes) -> None:
    """Take in what became known at a slot and write the modes of most expected bits into `modes`."""
    power = np.empty(particles.weight.shape[1], np.float32)
    for user in range(modes.size):
        while particles.newest_slot[user] < news.slot - news.lead_slots:
            _advance(user, particles, bank, tables)
        heard = False
        if news.is_new[user]:
            _power_at(user, news.report_slot[user], particles, bank, tables, False, power)
            report_db = news.report_db[user]
            likely = _weigh_report(user, power, report_db, news.noise_db[user], particles, tables)
            if likely < LOST_LIKELIHOOD:
                _take_up(user, news.report_slot[user], report_db, particles, bank, tables)
            heard = True
        if news.fed_slot >= 0 and news.fed_mode[user] >= 0:
            _power_at(user, news.fed_slot, particles, bank, tables, False, power)
            mode = news.fed_mode[user]
            _weigh_acknowledgement(user, power, mode, news.fed_ack[user], particles, tables)
            heard = True
        if heard:
            _resample(user, particles)
        _power_at(user, news.slot, particles, bank, tables, True, power)
        modes[user] = _best_mode(user, power, particles, tables, news.price_bits[user], news.target)
