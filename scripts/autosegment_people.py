"""Render people with an alpha plane, for scripts/train_autosegment.py --people FOLDER.

    scripts/autosegment_people.py --makehuman CHECKOUT --assets CHECKOUT --out FOLDER [--count 800] [--seed 0]

The meshes are MakeHuman's (CC0 1.0): the repositories makehumancommunity/makehuman at a8bc2d5, whose code is not used,
and makehumancommunity/makehuman-assets at 8cf9645, without their textures: colors and patterns are drawn here."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

HEIGHT = 220
"""Pixels of a standing adult."""
FINER = 3
"""Pixels of the drawing per pixel of the result, which is its mean."""
BONES = {
    "root": "root",
    "spine03": "root",
    "neck02": "spine03",
    **{f"upperarm01.{side}": "spine03" for side in "LR"},
    **{f"lowerarm01.{side}": f"upperarm01.{side}" for side in "LR"},
    **{f"upperleg01.{side}": "root" for side in "LR"},
    **{f"lowerleg01.{side}": f"upperleg01.{side}" for side in "LR"},
    **{f"foot.{side}": f"lowerleg01.{side}" for side in "LR"},
}
"""The bones that move, parents first, with their parents among them; all other bones follow one of these."""
X, Y, Z = np.eye(3)

Vertices = NDArray[np.float64]
Faces = NDArray[np.int64]
Image = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Cloth:
    """A garment, hair or shoes: each vertex is (3,) vertices of the body with (3,) weights, and an offset."""

    name: str
    faces: Faces
    anchors: Faces
    weights: Vertices
    offsets: Vertices
    scales: tuple[tuple[int, int, float], ...]
    """Of the offsets' x, y, z: the distance of two vertices of the body along it, divided by a number."""
    hidden: NDArray[np.bool_]
    """Vertices of the body that it covers."""
    parts: NDArray[np.int64]
    """Connected part of each vertex."""

    def place(self, body: Vertices) -> Vertices:
        size = [abs(body[a, axis] - body[b, axis]) / d for axis, (a, b, d) in enumerate(self.scales)]
        return np.asarray((body[self.anchors] * self.weights[..., None]).sum(1) + self.offsets * size)


@dataclass(frozen=True)
class Kit:
    """Everything of MakeHuman's that is used."""

    body: Vertices
    skin: Faces
    joints: dict[str, list[int]]
    weights: Vertices
    """(vertices, BONES) share of each bone in the movement of each vertex."""
    shapes: dict[str, tuple[NDArray[np.int64], Vertices]]
    clothes: list[Cloth]


# ---- reading -------------------------------------------------------------------------------------------------------


def read_obj(path: Path, group: str | None = None) -> tuple[Vertices, Faces]:
    """(V, 3) vertices and (F, 4) faces, of one group if given; triangles repeat their last vertex."""
    vertices, faces, current = [], [], None
    for line in path.read_text().splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            vertices.append([float(v) for v in rest.split()])
        elif kind == "g":
            current = rest.strip()
        elif kind == "f" and (group is None or current == group):
            corners = [int(v.split("/")[0]) - 1 for v in rest.split()]
            faces.append((corners + corners[-1:])[:4])
    return np.array(vertices), np.array(faces)


def read_cloth(path: Path, count: int) -> Cloth:
    mesh, section = path.with_suffix(".obj"), ""
    rows, scales, hidden = [], {}, np.zeros(count, bool)
    for line in path.read_text().splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "obj_file":
            mesh = path.parent / words[1]
        elif words[0].endswith("_scale"):
            scales[words[0][0]] = (int(words[1]), int(words[2]), float(words[3]))
        if words[0] in ("verts", "delete_verts"):
            section = words[0]
        elif section == "verts" and words[0].isdigit():
            rows.append([float(v) for v in words] if len(words) == 9 else [float(words[0])] * 3 + [1.0] + [0.0] * 5)
        elif section == "delete_verts" and words[0].isdigit():
            for first, last in ranges(words):
                hidden[first : last + 1] = True
    table = np.array(rows)
    _, faces = read_obj(mesh)
    parts = connected(faces, len(table))
    axes = (scales["x"], scales["y"], scales["z"])
    return Cloth(path.stem, faces, table[:, :3].astype(int), table[:, 3:6], table[:, 6:], axes, hidden, parts)


def ranges(words: list[str]) -> list[tuple[int, int]]:
    """`1 - 3 7` -> (1, 3), (7, 7)."""
    found: list[tuple[int, int]] = []
    at = 0
    while at < len(words):
        if at + 2 < len(words) and words[at + 1] == "-":
            found.append((int(words[at]), int(words[at + 2])))
            at += 3
        else:
            found.append((int(words[at]), int(words[at])))
            at += 1
    return found


def connected(faces: Faces, count: int) -> NDArray[np.int64]:
    """The smallest vertex that each of `count` vertices is connected with."""
    parts = np.arange(count)
    while True:
        before = parts.copy()
        least = parts[faces].min(1)
        for corner in range(faces.shape[1]):
            np.minimum.at(parts, faces[:, corner], least)
        if np.array_equal(parts, before):
            return parts


def read_kit(makehuman: Path, assets: Path) -> Kit:
    data = makehuman / "makehuman" / "data"
    body, skin = read_obj(data / "3dobjs" / "base.obj", "body")
    rig = json.loads((data / "rigs" / "default.mhskel").read_text())
    moved = json.loads((data / "rigs" / "default_weights.mhw").read_text())["weights"]
    weights, order = np.zeros((len(body), len(BONES))), list(BONES)
    for bone, rows in moved.items():
        name = bone
        while name not in BONES:
            name = rig["bones"][name]["parent"] or "root"
        for vertex, share in rows:
            weights[vertex, order.index(name)] += share
    weights[weights.sum(1) == 0, 0] = 1
    weights /= weights.sum(1, keepdims=True)
    shapes = {}
    for path in sorted((data / "targets" / "macrodetails").glob("*-*.target")):
        rows = [line.split() for line in path.read_text().splitlines() if line and not line.startswith("#")]
        table = np.array(rows, float).reshape(-1, 4)
        shapes[path.stem] = (table[:, 0].astype(int), table[:, 1:])
    clothes = [
        read_cloth(path, len(body))
        for kind in ("clothes", "hair")
        for path in sorted((assets / "base" / kind).glob("*/*.mhclo"))
    ]
    joints = {bone: rig["joints"][rig["bones"][bone]["head"]] for bone in BONES}
    return Kit(body, skin, joints, weights, shapes, clothes)


# ---- a person ------------------------------------------------------------------------------------------------------


def turned(axis: Vertices, degrees: float) -> Vertices:
    """(3, 3) rotation about an axis."""
    return np.asarray(cv2.Rodrigues(axis / np.linalg.norm(axis) * np.radians(degrees))[0])


def shape_body(kit: Kit, rng: np.random.Generator) -> tuple[Vertices, bool]:
    """Vertices of some body in the rest pose, and whether it is a man's."""
    is_man, age = bool(rng.random() < 0.55), str(rng.choice(["young", "young", "old", "child"], p=[0.4, 0.2, 0.3, 0.1]))
    sex = "male" if is_man else "female"
    build = rng.choice(["averagemuscle-averageweight", "averagemuscle-maxweight", "averagemuscle-minweight"])
    origin = rng.choice(["african", "asian", "caucasian"])
    body = kit.body.copy()
    for name in (f"universal-{sex}-{age}-{build}", f"{origin}-{sex}-{age}"):
        at, by = kit.shapes[name]
        body[at] += by
    return body, is_man


def pose(kit: Kit, body: Vertices, rng: np.random.Generator) -> Vertices:
    """(BONES, 3, 4) movement of each bone: walking, standing, sometimes with an arm raised."""
    walks = rng.random() < 0.65
    step = rng.uniform(5, 28) * rng.choice([-1, 1]) if walks else rng.normal(0, 3)
    turns: dict[str, Vertices] = {
        "spine03": turned(Y, rng.normal(0, 6)) @ turned(X, rng.uniform(-3, 9)),
        "neck02": turned(Y, rng.normal(0, 22)) @ turned(X, rng.normal(6, 9)),
    }
    places = {bone: body[at].mean(0) for bone, at in kit.joints.items()}
    for side, way in (("L", 1), ("R", -1)):
        swing = way * step
        turns[f"upperleg01.{side}"] = turned(X, -swing + rng.normal(0, 2)) @ turned(Z, way * rng.uniform(-4, 5))
        bend = rng.uniform(0, 8) + (max(0.0, -swing) * rng.uniform(0.3, 1.6) if walks else 0.0)
        turns[f"lowerleg01.{side}"] = turned(X, bend)
        turns[f"foot.{side}"] = turned(X, rng.uniform(-5, 12) if walks else 0.0)
        arm = places[f"lowerarm01.{side}"] - places[f"upperarm01.{side}"]
        down = np.degrees(np.arctan2(abs(arm[0]), -arm[1])) - rng.uniform(5, 18)
        raised = rng.random() < 0.06
        forward = rng.uniform(20, 70) if raised else -swing * rng.uniform(0.3, 1.0) + rng.normal(0, 6)
        turns[f"upperarm01.{side}"] = turned(X, -forward) @ turned(Z, -way * down)
        elbow = rng.uniform(50, 130) if raised or rng.random() < 0.1 else rng.uniform(3, 40)
        turns[f"lowerarm01.{side}"] = turned(np.cross(arm, Z), elbow)
    moves: dict[str, Vertices] = {}
    for bone, parent in BONES.items():
        turn, place = turns.get(bone, np.eye(3)), places[bone]
        own = np.hstack([turn, (place - turn @ place)[:, None]])
        above = moves.get(parent, np.eye(3, 4))
        moves[bone] = np.hstack([above[:, :3] @ own[:, :3], above[:, :3] @ own[:, 3:] + above[:, 3:]])
    return np.stack([moves[bone] for bone in BONES])


def move(vertices: Vertices, weights: Vertices, moves: Vertices) -> Vertices:
    blended = np.einsum("vb,bij->vij", weights, moves)
    return np.asarray(np.einsum("vij,vj->vi", blended[..., :3], vertices) + blended[..., 3])


def garment_color(rng: np.random.Generator) -> Vertices:
    """Mostly dark, gray or blue, as people in streets are dressed."""
    kind = rng.random()
    if kind < 0.4:
        return np.clip(rng.uniform(8, 60) + rng.normal(0, 6, 3), 0, 255)
    if kind < 0.6:
        return np.clip(rng.uniform(60, 235) + rng.normal(0, 7, 3), 0, 255)
    if kind < 0.72:
        return np.array([0.6, 0.75, 1.1]) * rng.uniform(40, 150)
    return np.asarray(rng.uniform(10, 245, 3))


def paint(
    faces: Faces, rest: Vertices, parts: NDArray[np.int64], rng: np.random.Generator, *, waist: float
) -> Vertices:
    """(F, 3) colors of a garment: each large part its own, above and below the waist, some with stripes or checks."""
    middle = rest[faces].mean(1)
    upper, lower = garment_color(rng), garment_color(rng)
    colors = np.where((middle[:, 1] > waist)[:, None], upper, lower)
    if rng.random() < 0.25:
        colors = np.broadcast_to(upper, colors.shape).copy()
    of_face = parts[faces[:, 0]]
    for part in np.unique(of_face):
        here = of_face == part
        if here.mean() < 0.03 or rng.random() < 0.4:  # buttons, belts, jackets
            colors[here] = garment_color(rng)
        if here.mean() > 0.1 and rng.random() < 0.3:
            wide, other = rng.uniform(0.15, 1.2), garment_color(rng)
            bands = np.sin(middle[here] @ rng.choice([X, Y, Y]) * 2 * np.pi / wide) > rng.uniform(-0.5, 0.7)
            if rng.random() < 0.3:
                bands ^= np.sin(middle[here] @ X * 2 * np.pi / wide) > 0
            colors[here] = np.where(bands[:, None], other * 0.5 + colors[here] * 0.5, colors[here])
    return np.asarray(colors)


def skin_color(rng: np.random.Generator) -> Vertices:
    pale, dark = np.array([235, 190, 165.0]), np.array([70, 45, 32.0])
    return np.asarray(dark + (pale - dark) * rng.beta(2.5, 1.3) + rng.normal(0, 8, 3))


def hair_color(rng: np.random.Generator) -> Vertices:
    tones = np.array(
        [[20, 16, 14], [45, 30, 22], [90, 62, 40], [160, 125, 75], [150, 145, 140], [215, 212, 205]], float
    )
    return np.asarray(rng.choice(tones, p=[0.3, 0.25, 0.15, 0.1, 0.12, 0.08]) * rng.uniform(0.7, 1.2))


def draw_person(kit: Kit, rng: np.random.Generator) -> Image:
    """(H, W, 4) RGBA of a dressed person in some pose, seen from any side at eye level or a little above."""
    body, is_man = shape_body(kit, rng)
    moves = pose(kit, body, rng)
    suits = [c for c in kit.clothes if "suit" in c.name and c.name.startswith("male" if is_man else "female")]
    some = [suits[rng.integers(len(suits))]]
    shoes = [c for c in kit.clothes if c.name.startswith("shoes")]
    some.append(shoes[rng.integers(len(shoes))])
    cuts = ("afro", "short") if is_man and rng.random() < 0.9 else ("afro", "short", "bob", "braid", "long", "ponytail")
    hairs = [c for c in kit.clothes if c.name.rstrip("0123456789") in cuts]
    if rng.random() < 0.93:
        some.append(hairs[rng.integers(len(hairs))])
    if rng.random() < 0.07:
        some.append(next(c for c in kit.clothes if c.name == "fedora"))
    hidden = np.any([c.hidden for c in some], axis=0)
    waist = float(body[kit.joints["spine03"]].mean(0)[1]) - rng.uniform(0.0, 1.2)
    skin = kit.skin[~hidden[kit.skin].all(1)]
    layers = [(move(body, kit.weights, moves), skin, np.broadcast_to(skin_color(rng), (len(skin), 3)))]
    for cloth in some:
        rest = cloth.place(body)
        weights = np.maximum((kit.weights[cloth.anchors] * cloth.weights[..., None]).sum(1), 0)
        weights /= weights.sum(1, keepdims=True)
        if "suit" in cloth.name:
            colors = paint(cloth.faces, rest, cloth.parts, rng, waist=waist)
        else:
            tone = hair_color(rng) if cloth in hairs else garment_color(rng) * 0.7
            colors = np.broadcast_to(tone, (len(cloth.faces), 3))
        layers.append((move(rest, weights, moves), cloth.faces, colors))
    starts = np.cumsum([0, *(len(v) for v, _, _ in layers[:-1])])
    vertices = np.concatenate([v for v, _, _ in layers])
    faces = np.concatenate([f + start for start, (_, f, _) in zip(starts, layers, strict=True)])
    colors = np.concatenate([c for _, _, c in layers])
    return rasterize(vertices, faces, colors, rng)


def rasterize(vertices: Vertices, faces: Faces, colors: Vertices, rng: np.random.Generator) -> Image:
    """Draw the faces from far to near, lit from some side above."""
    turn = turned(X, rng.uniform(-2, 14)) @ turned(Y, rng.uniform(0, 360))
    seen = vertices @ turn.T
    scale = HEIGHT * FINER / 17.0
    flat = np.stack([seen[:, 0], -seen[:, 1]], 1) * scale
    corners = flat[faces]
    low = corners.min((0, 1)) - 2 * FINER
    size = np.ceil((corners.max((0, 1)) - low + 2 * FINER) / FINER).astype(int) * FINER
    solid = seen[faces]
    normals = np.cross(solid[:, 2] - solid[:, 0], solid[:, 3] - solid[:, 1])
    flat_ones = np.linalg.norm(normals, axis=1) < 1e-12
    normals[flat_ones] = np.cross(solid[:, 1] - solid[:, 0], solid[:, 2] - solid[:, 0])[flat_ones]
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    normals *= np.where(normals[:, 2:] < 0, -1, 1)  # hair and skirts have two sides
    light = np.array([rng.normal(0, 0.7), rng.uniform(0.2, 1.0), rng.uniform(0.1, 0.9)])
    ambient = rng.uniform(0.35, 0.75)
    lit = ambient + (1 - ambient) * np.maximum(normals @ (light / np.linalg.norm(light)), 0) * rng.uniform(1.0, 1.5)
    lit += 0.08 * (normals[:, 1] - 0.3)  # the sky
    shaded = np.clip(colors * lit[:, None] + rng.normal(0, 3, (len(faces), 1)), 0, 255)
    canvas = np.zeros((size[1], size[0], 4), np.uint8)
    drawn = np.round((corners - low) * 16).astype(np.int32)
    for at in np.argsort(solid[..., 2].mean(1)):
        red, green, blue = (int(v) for v in shaded[at])
        cv2.fillConvexPoly(canvas, drawn[at], (red, green, blue, 255), shift=4)
    small = cv2.resize(canvas.astype(np.float32), None, fx=1 / FINER, fy=1 / FINER, interpolation=cv2.INTER_AREA)
    small[..., :3] *= 255 / np.maximum(small[..., 3:], 1)  # colors of the drawn share of a pixel
    return np.clip(small, 0, 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--makehuman", type=Path, required=True)
    parser.add_argument("--assets", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=800)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    kit, rng = read_kit(args.makehuman, args.assets), np.random.default_rng(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    for number in range(args.count):
        person = draw_person(kit, rng)
        cv2.imwrite(str(args.out / f"{number:04}.png"), cv2.cvtColor(person, cv2.COLOR_RGBA2BGRA))


if __name__ == "__main__":
    main()
