"""The tree against the published vectors of RFC 6962 (Certificate Transparency) and against itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lostid.log import merkle, tiles

# The reference leaves and roots of Certificate Transparency (RFC 6962; transparency-dev/merkle, testonly/constants.go).
CT_ENTRIES = [
    bytes.fromhex(entry)
    for entry in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
CT_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
CT_INCLUSION = {
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
}
CT_CONSISTENCY = {
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


def source_of(leaves: list[bytes]) -> tiles.TileSource:
    """Tiles over leaf hashes, each as full as it can be."""
    stored: dict[tuple[int, int], bytes] = {}
    level = 0
    while leaves:
        for index in range(0, len(leaves), merkle.TILE_WIDTH):
            stored[level, index // merkle.TILE_WIDTH] = b"".join(leaves[index : index + merkle.TILE_WIDTH])
        full = len(leaves) // merkle.TILE_WIDTH
        leaves = [tiles.hash_above(stored[level, index]) for index in range(full)]
        level += 1
    return tiles.TileSource(stored)


def leaves_of(size: int) -> list[bytes]:
    return [merkle.leaf_hash(i.to_bytes(4, "big")) for i in range(size)]


CT_SOURCE = source_of([merkle.leaf_hash(entry) for entry in CT_ENTRIES])


@pytest.mark.parametrize("size", range(9))
def test_reference_roots(size: int) -> None:
    """The root of each prefix of the reference leaves is the published one."""
    assert merkle.root(CT_SOURCE, size).hex() == CT_ROOTS[size]


@pytest.mark.parametrize("case", CT_INCLUSION)
def test_reference_inclusion(case: tuple[int, int]) -> None:
    """Inclusion proofs are the published ones, hash for hash."""
    assert [h.hex() for h in merkle.prove_inclusion(CT_SOURCE, *case)] == CT_INCLUSION[case]


@pytest.mark.parametrize("case", CT_CONSISTENCY)
def test_reference_consistency(case: tuple[int, int]) -> None:
    """Consistency proofs are the published ones, hash for hash."""
    assert [h.hex() for h in merkle.prove_consistency(CT_SOURCE, *case)] == CT_CONSISTENCY[case]


def test_every_small_proof() -> None:
    """Up to 20 leaves, every proof verifies, and none for another index, size, leaf, root or with a hash changed."""
    leaves = leaves_of(20)
    source = source_of(leaves)
    roots = [merkle.root(source, size) for size in range(21)]
    for size in range(1, 21):
        for index in range(size):
            proof = merkle.prove_inclusion(source, index, size)
            merkle.verify_inclusion(leaves[index], index, size, proof, roots[size])
            for wrong in (index - 1, index + 1):
                with pytest.raises(merkle.ProofRefused):
                    merkle.verify_inclusion(leaves[index], wrong, size, proof, roots[size])
            with pytest.raises(merkle.ProofRefused):
                merkle.verify_inclusion(leaves[index], index, size, proof, roots[size - 1])
            with pytest.raises(merkle.ProofRefused):
                merkle.verify_inclusion(leaves[index], index, size, [*proof, roots[1]], roots[size])
            for at in range(len(proof)):
                with pytest.raises(merkle.ProofRefused):
                    merkle.verify_inclusion(leaves[index], index, size, proof[:at] + proof[at + 1 :], roots[size])
        for old in range(size + 1):
            proof = merkle.prove_consistency(source, old, size)
            merkle.verify_consistency(old, roots[old], size, roots[size], proof)
            for at in range(len(proof)):
                changed = [*proof]
                changed[at] = bytes(32)
                with pytest.raises(merkle.ProofRefused):
                    merkle.verify_consistency(old, roots[old], size, roots[size], changed)


def test_fork_and_rollback() -> None:
    """Another root for the same size, and a smaller size, are refused."""
    source = source_of(leaves_of(10))
    root = merkle.root(source, 10)
    with pytest.raises(merkle.ProofRefused, match="forked"):
        merkle.verify_consistency(10, bytes(32), 10, root, [])
    with pytest.raises(merkle.ProofRefused, match="shrunk"):
        merkle.verify_consistency(11, root, 10, root, [])


@given(size=st.integers(1, 70_000), data=st.data())
def test_large_trees(size: int, data: st.DataObject) -> None:
    """Proofs across tile borders verify: the tree of n leaves over tiles is the tree of n leaves."""
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(0, size))
    root = merkle.root(LARGE, size)
    merkle.verify_inclusion(LARGE_LEAVES[index], index, size, merkle.prove_inclusion(LARGE, index, size), root)
    proof = merkle.prove_consistency(LARGE, old, size)
    merkle.verify_consistency(old, merkle.root(LARGE, old), size, root, proof)


def test_tiles_agree_with_the_definition() -> None:
    """A root computed from tiles is the root computed from all leaves at once (RFC 6962 section 2.1)."""
    for size in (255, 256, 257, 511, 513, 1000):
        assert merkle.root(LARGE, size) == merkle.root_of_hashes(LARGE_LEAVES[:size])


LARGE_LEAVES = leaves_of(70_000)
LARGE = source_of(LARGE_LEAVES)
