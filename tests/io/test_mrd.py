"""Reading MRD: files that the ismrmrd package wrote, geometry, frames, noise, refusals."""

from functools import partial

import h5py
import ismrmrd
import numpy as np
import pytest

from medsr.errors import GeometryError, InputError, MedsrError, MemoryLimitError
from medsr.io import mrd_units, mrd_worker
from medsr.io.mrd import read_mrd
from tests.io import mrd_files as m

read = partial(read_mrd, trusted=True)
RNG = np.random.default_rng(7)


def samples(coils=2, n=120):
    return RNG.standard_normal((coils, n)) + 1j * RNG.standard_normal((coils, n))


def image(kspace, s=0, frame=0):
    """The adjoint of one slice, coils added: its peak is where a point source lies."""
    k = kspace.trajectory_of(s)[frame].astype(float)
    axes = [(np.arange(n) - n // 2) / n for n in kspace.image_shape]
    r = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    weights = np.linalg.norm(k[:, :2], axis=-1) + 0.1
    return np.abs(np.exp(2j * np.pi * r @ k.T) @ (weights * kspace.data[s, frame].sum(0)))


def point_source(world, position, directions, k_per_mm):
    """Its k-space (1 coil, samples): world and position in LPS mm, k in cycles per mm along the directions."""
    return np.exp(-2j * np.pi * k_per_mm @ (directions.T[: k_per_mm.shape[-1]] @ (world - position)))[None]


ORIENTATIONS = {
    "axial": np.eye(3),
    "flipped": np.diag([-1.0, 1.0, -1.0]),
    "left-handed": np.diag([1.0, 1.0, -1.0]),
    "sagittal": np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0]]),
    "oblique": m.rotation(0.3, -0.4, 0.7),
    "double oblique, flipped": m.rotation(-0.6, 0.5, 2.2) @ np.diag([1.0, -1.0, 1.0]),
}


@pytest.mark.parametrize("directions", ORIENTATIONS.values(), ids=ORIENTATIONS.keys())
@pytest.mark.parametrize("n", [16, 15])
def test_a_point_source_is_found_where_it_lies(tmp_path, directions, n):
    """Three gapped slices, numbered and acquired out of order; the point sits in one of them."""
    fov, gap = 192.0, 5.0
    centre = np.array([12.0, -30.5, 44.0])
    positions = [centre + gap * i * directions[:, 2] for i in (2, 0, 1)]
    k = m.spiral(edge=n / 2)
    target = 1  # the slice numbered 1 lies lowest along the slice direction
    world = positions[target] + directions[:, :2] @ (np.array([3, -4]) * fov / n)
    acquisitions = []
    for repetition in range(2):
        for s in (0, 2, 1):
            for i in range(4):
                y = point_source(world, positions[s], directions, k[i] / fov) * (1.0 if s == target else 0.0)
                acquisitions.append(
                    m.readout(
                        y + 0j,
                        k[i] / n,
                        position=positions[s],
                        directions=directions,
                        kspace_encode_step_1=i,
                        slice=s,
                        repetition=repetition,
                    )
                )
    path = m.save(tmp_path / "a.h5", m.header((n, n, 1), (fov, fov, 3.0)), acquisitions)
    scan = read(path)
    assert scan.data.shape == (3, 2, 1, 4 * 120)
    assert scan.grid.shape == (n, n, 3)
    assert scan.grid.spacing == pytest.approx((fov / n, fov / n, gap), rel=1e-5)
    assert scan.slice_thickness == pytest.approx(3.0)
    power = np.abs(scan.data).sum(axis=(1, 2, 3))
    s = int(np.argmax(power))
    peak = np.unravel_index(np.argmax(image(scan, s)), (n, n))
    assert np.allclose(scan.grid.to_world([*peak, s]), world * m.LPS, atol=1e-3)
    assert s == 0


@pytest.mark.parametrize("stored_kz", [True, False])
def test_a_stack_of_spirals_is_read_as_a_slab(tmp_path, stored_kz):
    n, nz, fov, fz = 16, 6, 192.0, 30.0
    directions = m.rotation(0.2, 0.5, -0.3)
    position = np.array([-5.0, 20.0, 8.0])
    k = m.spiral(edge=n / 2)
    world = position + directions @ (np.array([-2, 5, 1]) * [fov / n, fov / n, fz / nz])
    acquisitions = []
    for partition in range(nz):
        for i in range(4):
            kz = np.full((120, 1), partition - nz // 2)
            full = np.concatenate([k[i], kz], axis=-1)
            y = point_source(world, position, directions, full / [fov, fov, fz])
            acquisitions.append(
                m.readout(
                    y,
                    (full if stored_kz else full[:, :2]),
                    position=position,
                    directions=directions,
                    kspace_encode_step_1=i,
                    kspace_encode_step_2=partition,
                )
            )
    path = m.save(tmp_path / "slab.h5", m.header((n, n, nz), (fov, fov, fz), tr=(50.0,)), acquisitions)
    scan = read(path)
    assert scan.dims == 3 and scan.data.shape == (1, 1, 1, nz * 4 * 120) and scan.readouts == nz * 4
    assert scan.tr == pytest.approx(0.05 * nz * 4)
    assert scan.slice_thickness == pytest.approx(fz / nz)
    peak = np.unravel_index(np.argmax(image(scan)), scan.grid.shape)
    assert np.allclose(scan.grid.to_world(peak), world * m.LPS, atol=1e-3)


@pytest.mark.parametrize("directions", ORIENTATIONS.values(), ids=ORIENTATIONS.keys())
@pytest.mark.parametrize("said", [True, False])
def test_cartesian_lines_lie_where_their_numbers_say(tmp_path, directions, said):
    """As ISMRMRD's own generator writes them: no trajectory, twice as many samples, the centre said or not."""
    n, fov = 16, 192.0
    middle = 7 if said else n // 2
    position = np.array([12.0, -30.5, 44.0])
    world = position + directions[:, :2] @ (np.array([3, -4]) * fov / n)
    x = (np.arange(2 * n) - n) / (2 * fov)
    readouts = []
    for line in range(n):
        k = np.stack([x, np.full(2 * n, (line - middle) / fov)], axis=-1)
        y = point_source(world, position, directions, k)
        how = {"position": position, "directions": directions, "kspace_encode_step_1": line}
        readouts.append(m.readout(y, head={"center_sample": n}, **how))
    xml = m.header(
        (2 * n, n, 1), (2 * fov, fov, 3.0), "cartesian", recon_matrix=(n, n, 1), recon_fov=(fov, fov, 3.0)
    )
    if said:
        limits = "<kspace_encoding_step_1><minimum>0</minimum><maximum>15</maximum><center>7</center>"
        xml = xml.replace(
            "<encodingLimits/>", f"<encodingLimits>{limits}</kspace_encoding_step_1></encodingLimits>"
        )
        assert "<center>7" in xml
    scan = read(m.save(tmp_path / "c.h5", xml, readouts))
    assert scan.readouts == n and "Cartesian lines, placed by their numbers" in scan.notes
    assert np.allclose(scan.trajectory[0, :: 2 * n, 1], np.arange(n) - middle)
    peak = np.unravel_index(np.argmax(image(scan)), (n, n))
    assert np.allclose(scan.grid.to_world([*peak, 0]), world * m.LPS, atol=1e-3)


@pytest.mark.parametrize("unit", mrd_units.UNITS)
@pytest.mark.parametrize("reach", [0.85, 1.0, 1.1])
def test_units_are_detected_and_said(tmp_path, unit, reach):
    n, fov = 24, 220.0
    k = m.spiral(edge=reach * n / 2)
    scale = (1000 / fov) / mrd_units.per_metre(unit, n, fov / 1e3)
    readouts = [m.readout(samples(), k[0] * scale, repetition=r) for r in range(2)]
    scan = read(m.save(tmp_path / "u.h5", m.header((n, n, 1), (fov, fov, 3.0)), readouts))
    assert np.allclose(scan.trajectory[1], k[0], atol=1e-5 * n)
    assert f"trajectory units: {unit} (detected from the largest position)" in scan.notes


def test_unclear_units_are_refused_and_may_be_stated(tmp_path):
    k = m.spiral(edge=8.0)
    path = m.save(tmp_path / "u.h5", m.header(), [m.readout(samples(), k[0] * 0.6)])
    with pytest.raises(InputError, match="units of the stored trajectory are not clear"):
        read(path)
    assert np.allclose(read(path, trajectory_units="cycles/FOV").trajectory[0], k[0] * 0.6, atol=1e-6)
    with pytest.raises(InputError, match="no such trajectory units"):
        read(path, trajectory_units="furlongs")


def test_the_trajectory_is_that_of_the_reconstruction_s_field_of_view(tmp_path):
    k = m.spiral(edge=16.0)
    xml = m.header((32, 32, 1), (384.0, 384.0, 3.0), recon_matrix=(16, 16, 1), recon_fov=(192.0, 192.0, 3.0))
    scan = read(m.save(tmp_path / "o.h5", xml, [m.readout(samples(), k[0])]))
    assert np.allclose(scan.trajectory[0], k[0] / 2, atol=1e-5)
    assert scan.grid.spacing[:2] == pytest.approx((12.0, 12.0))


def test_flags_sort_the_readouts(tmp_path):
    k = m.spiral()
    noise = [m.readout(samples(3), flags=[ismrmrd.ACQ_IS_NOISE_MEASUREMENT]) for _ in range(3)]
    calibration = [
        m.readout(samples(3), k[i], flags=[ismrmrd.ACQ_IS_PARALLEL_CALIBRATION], kspace_encode_step_1=i)
        for i in range(4)
    ]
    navigators = [m.readout(samples(3, 20), flags=[ismrmrd.ACQ_IS_NAVIGATION_DATA]) for _ in range(5)]
    dummies = [m.readout(samples(3), k[0], flags=[ismrmrd.ACQ_IS_DUMMYSCAN_DATA]) for _ in range(2)]
    frames = [
        m.readout(samples(3), k[r % 4], repetition=r, kspace_encode_step_1=r % 4, head={"center_sample": 0})
        for r in range(9)
    ]
    everything = [*noise, *dummies, navigators[0], *calibration, *navigators[1:3], *frames, *navigators[3:]]
    scan = read(m.save(tmp_path / "f.h5", m.header(), everything))
    assert scan.data.shape == (1, 9, 3, 120)
    assert np.allclose(scan.data[0, 4], frames[4].data)
    assert scan.interleaf[0, :, 0].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0]
    assert scan.calibration.data.shape == (1, 1, 3, 480) and scan.calibration.readouts == 4
    assert np.allclose(scan.calibration.data[0, 0, :, 120:240], calibration[1].data)
    assert "5 navigator readouts were left out" in scan.notes and "2 dummy readouts were left out" in scan.notes
    assert scan.te == pytest.approx(0.03) and scan.times[0] == pytest.approx(0.03)
    assert np.diff(scan.times) == pytest.approx(4e-6)


def test_noise_is_scaled_to_the_readout_s_bandwidth(tmp_path):
    rng = np.random.default_rng(1)
    mix = np.array([[1, 0, 0], [0.4 + 0.3j, 0.8, 0], [-0.2j, 0.1, 1.3]])
    white = (rng.standard_normal((3, 60000)) + 1j * rng.standard_normal((3, 60000))) / np.sqrt(2)
    noise = m.readout(mix @ white, flags=[ismrmrd.ACQ_IS_NOISE_MEASUREMENT], sample_time=8.0)
    readouts = [noise, m.readout(samples(3), m.spiral()[0], sample_time=4.0)]
    scan = read(m.save(tmp_path / "n.h5", m.header(noise_bandwidth=0.8), readouts))
    # half the dwell time has twice the noise power; the receiver passed 0.8 of it
    assert np.allclose(scan.noise, mix @ mix.conj().T * 2 / 0.8, atol=0.06)
    whitened = scan.prewhitened()
    level = np.trace(scan.noise).real / 3
    assert np.allclose(whitened.noise, level * np.eye(3))
    lower = np.linalg.cholesky(scan.noise / level)
    assert np.allclose(lower @ whitened.data[0, 0], scan.data[0, 0], atol=1e-5)


@pytest.mark.parametrize(("stamps", "tick"), [("frame", 1.0), ("frame", 2.5), ("readout", 1.0), ("none", 1.0)])
def test_tr_is_from_frame_to_frame(tmp_path, stamps, tick):
    """Whether the header's TR is a readout's or a frame's is told from the time stamps."""
    k = m.spiral(2)
    header_tr = 1000.0 if stamps == "frame" else 500.0
    readouts = []
    for r in range(4):
        for i in range(2):
            stamp = 0 if stamps == "none" else round((r * 1000 + i * 500) / tick)
            readouts.append(
                m.readout(
                    samples(), k[i], repetition=r, kspace_encode_step_1=i, head={"acquisition_time_stamp": stamp}
                )
            )
    path = m.save(tmp_path / "t.h5", m.header(tr=(header_tr,)), readouts)
    assert read(path).tr == pytest.approx(1.0)
    assert read(path, tr=2.0).tr == 2.0


def test_an_incomplete_last_frame_is_left_out(tmp_path):
    k = m.spiral(2)
    readouts = [
        m.readout(samples(), k[i], repetition=r, kspace_encode_step_1=i) for r in range(3) for i in range(2)
    ]
    scan = read(m.save(tmp_path / "i.h5", m.header(), readouts[:-1]))
    assert scan.frames == 2 and "the last frame is incomplete and was left out" in scan.notes
    with pytest.raises(InputError, match="different numbers of readouts"):
        read(m.save(tmp_path / "j.h5", m.header(), [readouts[0], *readouts[2:]]))


def test_part_of_a_scan_is_read_alone(tmp_path):
    k = m.spiral()
    readouts = [
        m.readout(samples(), k[r % 4], repetition=r, slice=s, position=(0, 0, 4.0 * s))
        for r in range(5)
        for s in range(4)
    ]
    path = m.save(tmp_path / "p.h5", m.header(), readouts)
    whole = read(path)
    part = read(path, slices=slice(1, 3), frames=slice(2, 5))
    chosen = whole.select(slice(1, 3), slice(2, 5))
    assert np.array_equal(part.data, chosen.data) and np.array_equal(part.trajectory, chosen.trajectory)
    assert part.grid.is_close(chosen.grid)
    assert np.allclose(part.grid.to_world([0, 0, 0]), whole.grid.to_world([0, 0, 1]))
    every_second = read(path, slices=slice(0, None, 2))
    assert every_second.grid.is_close(whole.select(slice(0, None, 2)).grid)
    assert every_second.grid.spacing[2] == pytest.approx(8.0)
    with pytest.raises(MemoryLimitError):
        read(path, max_bytes=1000)
    with pytest.raises(InputError, match="no slice or no frame"):
        read(path, frames=slice(9, None))


def test_slices_may_differ_in_their_trajectory(tmp_path):
    k = m.spiral()
    readouts = [
        m.readout(
            samples(), k[(r + s) % 4], repetition=r, slice=s, position=(0, 0, 4.0 * s), kspace_encode_step_1=r
        )
        for r in range(3)
        for s in range(2)
    ]
    scan = read(m.save(tmp_path / "s.h5", m.header(), readouts))
    assert scan.trajectory.shape == (2, 3, 120, 2)
    assert np.allclose(scan.trajectory_of(1)[2], k[3], atol=1e-6)


def test_a_given_trajectory_serves_where_none_is_stored(tmp_path):
    k = m.spiral()
    readouts = [m.readout(samples(), repetition=r, kspace_encode_step_1=r % 4) for r in range(5)]
    path = m.save(tmp_path / "g.h5", m.header(), readouts)
    with pytest.raises(InputError, match="stores no trajectory"):
        read(path)
    assert np.allclose(read(path, trajectory=k).trajectory[3], k[3], atol=1e-6)
    with pytest.raises(InputError, match="given trajectory does not fit"):
        read(path, trajectory=k[:2])


def test_samples_to_discard_are_discarded(tmp_path):
    k = m.spiral(1, samples=130)
    data = samples(2, 130)
    head = {"discard_pre": 7, "discard_post": 3, "center_sample": 7}
    scan = read(m.save(tmp_path / "d.h5", m.header(), [m.readout(data, k[0], head=head)]))
    assert np.allclose(scan.data[0, 0], data[:, 7:-3], atol=1e-6)
    assert np.allclose(scan.trajectory[0], k[0, 7:-3], atol=1e-5)
    assert scan.times[0] == pytest.approx(0.03)


def test_frames_are_regrouped_by_readouts(tmp_path):
    k = m.spiral()
    readouts = [
        m.readout(samples(), k[i], repetition=r, kspace_encode_step_1=i) for r in range(3) for i in range(4)
    ]
    whole = read(m.save(tmp_path / "r.h5", m.header(), readouts))
    single = whole.regrouped(1)
    assert single.data.shape == (1, 12, 2, 120) and single.tr == pytest.approx(whole.tr / 4)
    assert np.allclose(single.data[0, 6], readouts[6].data)
    assert single.interleaf[0, :, 0].tolist() == [0, 1, 2, 3] * 3
    assert np.array_equal(single.regrouped(4).data, whole.data)
    assert np.array_equal(single.regrouped(4).trajectory, whole.trajectory)
    five = single.regrouped(5)
    assert five.frames == 2 and "2 readouts do not fill a frame" in five.notes[-1]


ZERO = np.zeros((3, 3))
REFUSED = {
    "echo-planar": (lambda k: (m.header(trajectory="epi"), [m.readout(samples())]), "echo-planar"),
    "no imaging readouts": (
        lambda k: (m.header(), [m.readout(samples(), k[0], flags=[ismrmrd.ACQ_IS_NOISE_MEASUREMENT])]),
        "no imaging readouts",
    ),
    "reversed": (
        lambda k: (m.header(), [m.readout(samples(), k[0], flags=[ismrmrd.ACQ_IS_REVERSE])]),
        "flagged as reversed",
    ),
    "compressed": (
        lambda k: (m.header(), [m.readout(samples(), k[0], flags=[ismrmrd.ACQ_COMPRESSION1])]),
        "compressed",
    ),
    "not finite": (lambda k: (m.header(), [m.readout(samples() * np.nan, k[0])]), "not finite"),
    "different lengths": (
        lambda k: (
            m.header(),
            [m.readout(samples(), k[0]), m.readout(samples(2, 60), k[0, :60], repetition=1)],
        ),
        "differ in number_of_samples",
    ),
    "several averages": (
        lambda k: (m.header(), [m.readout(samples(), k[0], average=a) for a in range(2)]),
        "several values of 'average'",
    ),
    "the same interleaf twice": (
        lambda k: (m.header(), [m.readout(samples(), k[0]) for _ in range(2)]),
        "same interleaf twice",
    ),
    "uneven slices": (
        lambda k: (
            m.header(),
            [m.readout(samples(), k[0], slice=s, position=(0, 0, z)) for s, z in enumerate((0.0, 4.0, 9.0))],
        ),
        "not evenly spaced",
    ),
    "slices at one place": (
        lambda k: (m.header(), [m.readout(samples(), k[0], slice=s) for s in range(2)]),
        "at one position",
    ),
    "slices not parallel": (
        lambda k: (
            m.header(),
            [
                m.readout(samples(), k[0], slice=s, position=(0, 0, 4.0 * s), directions=m.rotation(0.1 * s, 0, 0))
                for s in range(2)
            ],
        ),
        "not parallel",
    ),
    "no unit vectors": (
        lambda k: (m.header(), [m.readout(samples(), k[0], directions=2 * np.eye(3))]),
        "not a unit vector",
    ),
    "sheared": (
        lambda k: (
            m.header(),
            [m.readout(samples(), k[0], directions=np.array([[1, 0.6, 0], [0, 0.8, 0], [0, 0, 1.0]]))],
        ),
        "sheared",
    ),
    "absurd matrix": (lambda k: (m.header(matrix=(60000, 16, 1)), [m.readout(samples(), k[0])]), "absurd"),
    "absurd sample time": (lambda k: (m.header(), [m.readout(samples(), k[0], sample_time=0.0)]), "sample time"),
    "unknown encoding": (
        lambda k: (m.header(), [m.readout(samples(), k[0], head={"encoding_space_ref": 3})]),
        "one encoding space",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_truly_is_refused(tmp_path, case):
    make, message = REFUSED[case]
    xml, readouts = make(m.spiral())
    path = m.save(tmp_path / "bad.h5", xml, readouts)
    with pytest.raises(InputError, match=message):
        read(path)


def test_missing_directions_are_said(tmp_path):
    scan = read(m.save(tmp_path / "z.h5", m.header(), [m.readout(samples(), m.spiral()[0], directions=ZERO)]))
    assert any("no directions" in n for n in scan.notes)
    assert np.allclose(scan.grid.direction, np.diag([-1, -1, 1]))


def test_uneven_slices_are_an_error_of_geometry(tmp_path):
    readouts = [m.readout(samples(), m.spiral()[0], slice=s, position=(0, s**2, 4.0 * s)) for s in range(3)]
    with pytest.raises(GeometryError):
        read(m.save(tmp_path / "g.h5", m.header(), readouts))


def plain(tmp_path, name="plain.h5"):
    k = m.spiral()
    readouts = [m.readout(samples(2, 400), flags=[ismrmrd.ACQ_IS_NOISE_MEASUREMENT])]
    readouts += [m.readout(samples(), k[r % 4], repetition=r) for r in range(4)]
    return m.save(tmp_path / name, m.header(), readouts)


def test_a_file_that_is_not_there_or_not_hdf5(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "nothing.h5")
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(InputError, match="not readable as HDF5"):
        read(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as f:
        f["images"] = np.zeros(3)
    with pytest.raises(InputError, match="not one MRD scan"):
        read(tmp_path / "other.h5")


def test_links_and_virtual_data_are_not_followed(tmp_path):
    plain(tmp_path)
    with h5py.File(tmp_path / "external.h5", "w") as f:
        f["dataset"] = h5py.ExternalLink("plain.h5", "dataset")
    with pytest.raises(InputError, match="is a link"):
        read(tmp_path / "external.h5")
    with h5py.File(tmp_path / "inner.h5", "w") as f:
        group = f.create_group("dataset")
        group["xml"] = h5py.ExternalLink("plain.h5", "dataset/xml")
        group["data"] = np.zeros(3)
    with pytest.raises(InputError, match="is a link"):
        read(tmp_path / "inner.h5")
    with h5py.File(tmp_path / "virtual.h5", "w") as f:
        group = f.create_group("dataset")
        group["xml"] = np.array([b"<a/>"], dtype="S10")
        layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
        layout[:] = h5py.VirtualSource("plain.h5", "dataset/data", shape=(4,))
        group.create_virtual_dataset("data", layout)
    with pytest.raises(InputError, match="other files"):
        read(tmp_path / "virtual.h5")
    with h5py.File(tmp_path / "outside.h5", "w") as f:
        group = f.create_group("dataset")
        group["xml"] = np.array([b"<a/>"], dtype="S10")
        group.create_dataset("data", (4,), "f4", external=[(str(tmp_path / "plain.h5"), 0, 16)])
    with pytest.raises(InputError, match="other files"):
        read(tmp_path / "outside.h5")


def change_xml(path, xml):
    with h5py.File(path, "a") as f:
        f["dataset/xml"][0] = xml


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (b"<ismrmrdHeader", "damaged"),
        (b"<other/>", "not an MRD header"),
        (b"<ismrmrdHeader/>", "no encoding"),
        (b"<ismrmrdHeader><encoding/></ismrmrdHeader>", "incomplete"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><ismrmrdHeader>&b;</ismrmrdHeader>', "document type"),
        (b"\xff\xfe<", "document type|damaged"),
    ],
)
def test_bad_headers_are_refused(tmp_path, xml, message):
    path = plain(tmp_path)
    change_xml(path, xml)
    with pytest.raises(InputError, match=message):
        read(path)


def test_declared_sizes_are_checked_before_allocating(tmp_path):
    path = plain(tmp_path)
    with h5py.File(path, "a") as f:
        row = f["dataset/data"][2]
        row["head"]["number_of_samples"] = 65535
        row["head"]["active_channels"] = 60000
        f["dataset/data"][2] = row
    with pytest.raises(InputError, match="more samples than the file holds"):
        read(path)


def test_an_absurd_number_of_acquisitions_is_refused(tmp_path):
    path = plain(tmp_path)
    with h5py.File(path, "a") as f:
        f["dataset/data"].resize(50_000_000, axis=0)
    with pytest.raises(InputError, match="number of acquisitions is absurd"):
        read(path)


def mutated(original, rng):
    data = bytearray(original)
    for _ in range(int(rng.integers(1, 12))):
        data[int(rng.integers(len(data)))] = int(rng.integers(256))
    if rng.random() < 0.15:
        del data[int(rng.integers(len(data))) :]
    return data


@pytest.mark.parametrize("files", [12, pytest.param(1000, marks=pytest.mark.slow)])
def test_mutated_files_raise_nothing_untyped(tmp_path, files):
    """Bytes overwritten, files cut: HDF5 itself crashes on some of these, and medsr does not."""
    original = plain(tmp_path).read_bytes()
    path = tmp_path / "fuzz.h5"
    whole = 0
    for seed in range(files):
        path.write_bytes(mutated(original, np.random.default_rng(seed)))
        try:
            read_mrd(path)
            whole += 1
        except MedsrError:
            pass
    assert 0 < whole < files


def test_the_child_process_reads_the_same(tmp_path):
    path = plain(tmp_path)
    there, here = read_mrd(path), read(path)
    assert np.array_equal(there.data, here.data) and np.array_equal(there.trajectory, here.trajectory)
    assert np.array_equal(there.noise, here.noise) and there.notes == here.notes


def test_the_child_s_refusals_reach_the_user(tmp_path):
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(InputError, match="not readable as HDF5"):
        read_mrd(tmp_path / "text.h5")
    with pytest.raises(InputError, match="no such file"):
        read_mrd(tmp_path / "nothing.h5")


def test_a_crash_or_a_hang_of_the_child_is_a_refusal(tmp_path, monkeypatch):
    path = plain(tmp_path)
    monkeypatch.setattr(mrd_worker, "_START", "import os; os.abort()")
    with pytest.raises(InputError, match="HDF5 library fails"):
        read_mrd(path)
    monkeypatch.setattr(mrd_worker, "_START", "import time; time.sleep(60)")
    monkeypatch.setattr(mrd_worker, "PATIENCE", 0.2)
    with pytest.raises(InputError, match="HDF5 library fails"):
        read_mrd(path)
