"""What records of many producers say: each particle and its energy counted once, and where."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k4calofast.events.columns import Particles
from k4calofast.incidence import FATES, Fate, Record, arrive, follow, identified, much_is_left

STOPPED = 1 << 24
LEFT = 1 << 25
IN_CALORIMETER = 1 << 26
IN_TRACKER = 1 << 27
CREATED = 1 << 30
OVERLAY = 1 << 23

MASS = {22: 0.0, 11: 0.000511, 13: 0.105658, 211: 0.13957, 310: 0.497611, 2212: 0.938272, 12: 0.0}
CHARGE = {22: 0, 11: -1, 13: -1, 211: 1, 310: 0, 2212: 1, 12: 0}


def record_of(barrel, rows, family=(), stable=()):
    """A record from rows of PDG, status, bits, vertex, momentum, endpoint, momentum there."""
    columns = list(zip(*[(*row, *((0, 0, 0),) * (7 - len(row))) for row in rows], strict=True))
    pdg = np.array(columns[0], np.int32)
    pairs = np.array(family, np.int64).reshape(-1, 2)
    return Record(
        Particles(
            offsets=np.array([0, len(rows)]),
            pdg=pdg,
            generator_status=np.array(columns[1], np.int32),
            simulator_status=np.array(columns[2], np.int32),
            charge=np.array([CHARGE[abs(one)] for one in pdg.tolist()], float),
            time=np.zeros(len(rows)),
            mass=np.array([MASS[abs(one)] for one in pdg.tolist()], float),
            **{
                name: np.array(columns[3 + i], float)
                for i, name in enumerate(("vertex", "momentum", "endpoint", "momentum_at_endpoint"))
            },
            parent=pairs[:, 0],
            child=pairs[:, 1],
        ),
        barrel,
        stable=stable,
    )


def fates(record):
    return [Fate(fate) for fate in follow(record)[1].fate]


IP, FAR = (0, 0, 0), (3000.0, 100, 600)
ALONG = (1.0, 0.02, 0.2)


@pytest.mark.parametrize("bits", [0, OVERLAY, 1, 999])
def test_bits_that_are_not_of_tracking_say_nothing(barrel, bits):
    assert fates(record_of(barrel, [(22, 1, bits, IP, ALONG)])) == [Fate.SHOWERED]


def test_a_simulation_outranks_the_generators_status(barrel):
    kaon = (310, 2, IN_CALORIMETER, IP, ALONG, (1000.0, 20, 200))
    assert fates(record_of(barrel, [kaon])) == [Fate.SHOWERED]


@pytest.mark.parametrize(
    ("where", "mother", "daughter"),
    [
        ((500.0, 10, 100), Fate.NOT_FINAL, Fate.SHOWERED),
        ((1000.0, 20, 200), Fate.SHOWERED, Fate.BORN_BEHIND),
        (FAR, Fate.SHOWERED, Fate.BORN_BEHIND),
        ((1e20, 0, 0), Fate.SHOWERED, Fate.BORN_BEHIND),
    ],
)
def test_where_a_decay_happens_decides(barrel, where, mother, daughter):
    half = tuple(p / 2 for p in ALONG)
    rows = [(310, 2, 0, IP, ALONG, where), (22, 1, 0, where, half), (22, 1, 0, where, half)]
    assert fates(record_of(barrel, rows, [(0, 1), (0, 2)])) == [mother, daughter, daughter]


def test_what_comes_from_outside_or_starts_inside_is_handed_on(barrel):
    rows = [(13, 1, 0, (100.0, 3000, 200), (0, -5.0, 0)), (22, 1, 0, (1000.0, 0, 100), ALONG)]
    assert fates(record_of(barrel, rows)) == [Fate.BORN_OUTSIDE] * 2


def test_stable_parents_of_stable_daughters_do_not_shower_beside_them(barrel):
    rows = [
        (11, 1, 0, IP, (1.5, 0, 0.3)),
        (11, 1, 0, IP, (1.2, 0, 0.24)),
        (22, 1, 0, IP, (0.3, 0, 0.06)),
    ]
    record = record_of(barrel, rows, [(0, 1), (0, 2)])
    _, census = follow(record)
    assert fates(record) == [Fate.ENDED_BEFORE, Fate.SHOWERED, Fate.SHOWERED]
    assert census.energy.sum() == pytest.approx(np.hypot(1.5, 0.3), abs=1e-6)


@pytest.mark.parametrize("bits", [0, IN_CALORIMETER])
def test_an_electron_meets_the_face_with_what_it_has_not_radiated(barrel, bits):
    """A photon of .4 GeV leaves it 300 mm on its way: it bends more from there on."""
    rows = [
        (11, 1, bits, IP, (1.0, 0, 0.2), (1000.0, 0, 200)),
        (22, 0, CREATED | IN_CALORIMETER, (300.0, 0, 60), (0.4, 0, 0.08), (1000.0, 0, 200)),
    ]
    record = record_of(barrel, rows, [(0, 1)])
    (arrivals,), census = follow(record)
    assert fates(record) == [Fate.SHOWERED, Fate.SHOWERED]
    whole = np.hypot(1.0, 0.2)
    assert arrivals.conditions[:, 0] == pytest.approx([0.6 * whole, 0.4 * whole], rel=1e-3)
    assert census.energy.sum() == pytest.approx(whole, rel=1e-6)
    lone, _ = arrive(record_of(barrel, rows[:1]).particles, barrel)
    bent = np.arctan2(arrivals.momentum[0, 1], arrivals.momentum[0, 0])
    assert abs(bent) > 1.2 * abs(np.arctan2(lone.momentum[0, 1], lone.momentum[0, 0]))


def test_a_photon_that_scatters_gives_its_electron_part_of_its_momentum(barrel):
    electron = (0.3, 0.1, 0.0)
    rows = [
        (22, 1, IN_CALORIMETER, IP, (1.0, 0, 0.2), (1000.0, 0, 200)),
        (11, 0, CREATED | STOPPED, (300.0, 0, 60), electron, (301.0, 0, 60)),
    ]
    (arrivals,), _ = follow(record_of(barrel, rows, [(0, 1)]))
    left = np.array([1.0, 0, 0.2]) - electron
    direction = arrivals.momentum[0] / np.linalg.norm(arrivals.momentum[0])
    assert direction == pytest.approx(left / np.linalg.norm(left), abs=1e-9)


def test_what_a_record_leaves_open_is_handed_on_as_a_whole(barrel):
    """Half of a neutral kaon's energy is in the daughter that it has; where is the other?"""
    rows = [(310, 1, 0, IP, ALONG), (22, 1, 0, (200.0, 4, 40), (0.5, 0.01, 0.1))]
    record = record_of(barrel, rows, [(0, 1)])
    assert fates(record) == [Fate.UNCLEAR, Fate.BORN_BEHIND]
    _, census = follow(record)
    assert census.energy[0] == record.energy[0]


def test_codes_of_status_that_are_named_are_final(barrel):
    rows = [(22, 2001, 0, IP, ALONG), (22, 201, 0, IP, ALONG)]
    assert fates(record_of(barrel, rows)) == [Fate.UNKNOWN_STATUS] * 2
    assert fates(record_of(barrel, rows, stable=[2001])) == [Fate.SHOWERED, Fate.UNKNOWN_STATUS]


def test_daughters_that_a_generator_planned_do_not_come_about_if_a_simulation_knows_better(barrel):
    """The kaon interacts at 100 mm, before the decay that the generator planned at 500 mm."""
    rows = [
        (310, 2, IN_TRACKER, IP, ALONG, (100.0, 2, 20)),
        (211, 1, 0, (500.0, 10, 100), (0.5, 0.01, 0.1)),
        (-211, 1, 0, (500.0, 10, 100), (0.5, 0.01, 0.1)),
        (211, 0, CREATED | IN_CALORIMETER, (100.0, 2, 20), (1.0, 0, 0.2), (1000.0, 20, 200)),
    ]
    found = fates(record_of(barrel, rows, [(0, 1), (0, 2), (0, 3)]))
    assert found == [Fate.ENDED_BEFORE, Fate.NOT_FINAL, Fate.NOT_FINAL, Fate.SHOWERED]


def test_relations_in_a_circle_are_found(barrel):
    rows = [(22, 1, 0, IP, ALONG)] * 3
    record = record_of(barrel, rows, [(0, 1), (1, 2), (2, 0)])
    assert record.first_impossible(1e6) == (0, "itself among its ancestors")


def test_charge_and_mass_come_from_the_pdg_number_where_the_record_is_wrong(barrel):
    particles = record_of(barrel, [(11, 1, 0, IP, ALONG)] * 4).particles
    particles.charge[:] = [-1, 0, 1, -1]
    particles.mass[:] = [0.000510999, 0.000510999, 0.000510999, 0]
    mended, wrong = identified(particles)
    assert wrong.tolist() == [False, True, True, True]
    assert mended.charge.tolist() == [-1] * 4
    assert mended.mass[0] == 0.000510999
    assert mended.mass[3] == pytest.approx(0.000511, rel=1e-5)


def test_every_hadron_of_a_real_file_that_crosses_the_face_is_handed_on(barrel, edm4hep_file):
    """The generator decays them kilometres away; its energies are those of the fates."""
    from k4calofast.events.reading import EventSource
    from k4calofast.events.typed import particles as read
    from k4calofast.incidence.transport import first_hits

    source = EventSource([edm4hep_file("ZH250_ISR.edm4hep.root")])
    (info,) = [info for info in source.infos if info.name == "MCParticles"]
    (frames,) = source.chunks(0, 3, 3)
    particles = read(frames, info)
    source.close()
    _, census = follow(Record(particles, barrel))
    assert census.incoming.sum() == pytest.approx(750, rel=1e-9)
    assert (census.energy + census.left).sum() == pytest.approx(750, rel=1e-9)
    # Pions, kaons, protons and their kin that decay beyond two metres, or not at all.
    hadrons = np.isin(np.abs(particles.pdg), [211, 321, 2212]) & barrel.in_front(particles.vertex)
    decay = np.full(len(particles), np.inf)
    away = np.linalg.norm(particles.vertex[particles.child], axis=1)
    np.minimum.at(decay, particles.parent, away)
    rows = np.flatnonzero(hadrons & (decay > 2000))
    reached = first_hits(
        barrel, particles.vertex[rows], particles.momentum[rows], particles.charge[rows]
    ).reached
    assert reached.sum() >= 35
    assert (census.fate[rows[reached]] <= Fate.GAP).all()


# --- whatever a record says -----------------------------------------------------------------

VERTICES = st.sampled_from(
    [
        IP,
        (100.0, 10, 20),
        (500.0, -40, 100),
        (1000.0, 0, 100),
        (-300.0, 200, 50),
        FAR,
        (0, 0, 2000.0),
    ]
)
BITS = st.sampled_from(
    [0, 0, 0, 1, OVERLAY, STOPPED, LEFT, IN_CALORIMETER, IN_TRACKER, CREATED, CREATED | STOPPED,
     CREATED | IN_TRACKER, CREATED | LEFT, 1 << 22, 1 << 29 | CREATED, IN_TRACKER | STOPPED]
)  # fmt: skip
# What is there after a particle's end may be nonsense.
ENDPOINTS = VERTICES | st.sampled_from([(np.nan, 0, 0), (np.inf, 0, 0), (1e300, 1e300, 0)])
MOMENTA = st.tuples(*[st.sampled_from([0.0, 0.05, -0.3, 1.0, -2.0])] * 3)
AT_END = MOMENTA | st.sampled_from([(np.nan, 0, 0), (0, -np.inf, 0), (1e300, 0, 1e300)])


@st.composite
def trees(draw, most=12):
    """Rows and relations: whatever codes, bits, places and energies; most have one parent."""
    n = draw(st.integers(1, most))
    rows = [
        (
            draw(st.sampled_from([22, 11, -11, 13, 211, 310, 2212, 12])),
            draw(st.sampled_from([1, 1, 1, 0, 2, 4, 23, 201])),
            draw(BITS), draw(VERTICES), draw(MOMENTA), draw(ENDPOINTS), draw(AT_END),
        )
        for _ in range(n)
    ]  # fmt: skip
    family = [(draw(st.integers(0, i - 1)), i) for i in range(1, n) if draw(st.integers(0, 3))]
    more = [(draw(st.integers(0, i - 1)), i) for i in range(1, n) if draw(st.integers(0, 9)) == 0]
    return rows, sorted({*family, *more})


@given(trees())
def test_all_energy_that_comes_in_has_one_fate(barrel, tree):
    record = record_of(barrel, *tree)
    _, census = follow(record)
    assert (census.energy + census.left).sum() == pytest.approx(census.incoming.sum(), abs=1e-9)
    particles = record.particles
    much = much_is_left(record, census)
    numbers, energies = census.per_event(particles.offsets, much, particles.listed)
    assert numbers.sum() == len(tree[0])
    assert energies.sum() == pytest.approx(census.incoming.sum(), abs=1e-9)
    # What comes in is what the record has: a simulated or final particle, or one that decays
    # behind the face, none of whose ancestors is one.
    ancestors = {i: set() for i in range(len(tree[0]))}
    for mother, child in tree[1]:
        ancestors[child] |= {mother} | ancestors[mother]
    first = [i for i in ancestors if record.real[i] and not record.real[list(ancestors[i])].any()]
    assert set(np.flatnonzero(census.incoming)) <= set(first)
    assert census.incoming.sum() == pytest.approx(record.energy[first].sum(), abs=1e-9)


@given(trees())
def test_nobody_is_simulated_beside_an_ancestor_that_has_its_energy(barrel, tree):
    """Showered or handed on together are only those that share: each is counted with itself."""
    record = record_of(barrel, *tree)
    _, census = follow(record)
    own = np.arange(len(census.fate))
    taken = [Fate(fate).handled_here or Fate(fate).handed_on for fate in census.fate]
    assert (census.account[taken] == own[taken]).all()
    covered = np.flatnonzero(census.fate == Fate.BORN_BEHIND)
    assert (census.account[covered] >= 0).all()
    assert (census.account[covered] != covered).all()
    assert not census.energy[covered].any()
    assert np.isin(
        census.fate[census.account[covered]],
        [fate for fate in FATES if fate.handled_here or fate.handed_on] + [Fate.ALREADY_HANDLED],
    ).all()


@given(trees(), trees())
def test_unrelated_particles_change_nothing(barrel, tree, others):
    alone, among = tree
    n = len(alone)
    more = [(n + mother, n + child) for mother, child in others[1]]
    record = record_of(barrel, alone, among)
    together = record_of(barrel, alone + others[0], among + more)
    ((arrivals,), census), ((beside,), of_all) = follow(record), follow(together)
    assert of_all.fate[:n].tolist() == census.fate.tolist()
    assert of_all.energy[:n].tolist() == census.energy.tolist()
    mine = beside.take(beside.particle < n)
    assert mine.particle.tolist() == arrivals.particle.tolist()
    assert mine.conditions.tolist() == arrivals.conditions.tolist()
