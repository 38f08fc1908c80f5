package postgres

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// shardHash returns the server's hash of a text with a deterministic collation, by which Citus
// divides the organizations: each shard has a range of hashes. It is that of Bob Jenkins, "lookup3".
func shardHash(key string) int32 {
	h := 0x9e3779b9 + uint32(len(key)) + 3923095
	a, b, c := h, h, h
	for ; len(key) >= 12; key = key[12:] {
		x, y, z := words(key)
		a, b, c = a+x, b+y, c+z
		a, c = (a-c)^bits.RotateLeft32(c, 4), c+b
		b, a = (b-a)^bits.RotateLeft32(a, 6), a+c
		c, b = (c-b)^bits.RotateLeft32(b, 8), b+a
		a, c = (a-c)^bits.RotateLeft32(c, 16), c+b
		b, a = (b-a)^bits.RotateLeft32(a, 19), a+c
		c, b = (c-b)^bits.RotateLeft32(b, 4), b+a
	}
	x, y, z := words(key)
	a, b, c = a+x, b+y, c+z<<8 // the lowest byte of c is that of the length
	c = (c ^ b) - bits.RotateLeft32(b, 14)
	a = (a ^ c) - bits.RotateLeft32(c, 11)
	b = (b ^ a) - bits.RotateLeft32(a, 25)
	c = (c ^ b) - bits.RotateLeft32(b, 16)
	a = (a ^ c) - bits.RotateLeft32(c, 4)
	b = (b ^ a) - bits.RotateLeft32(a, 14)
	c = (c ^ b) - bits.RotateLeft32(b, 24)
	return int32(c)
}

// words returns the first 12 bytes of key, with zeros after its end.
func words(key string) (a, b, c uint32) {
	var block [12]byte
	copy(block[:], key)
	return binary.LittleEndian.Uint32(block[:]), binary.LittleEndian.Uint32(block[4:]), binary.LittleEndian.Uint32(block[8:])
}

// organizationOf returns a text whose hash is the given one: the range of a shard may be a single hash. It
// computes the last mixing of shardHash backwards, from numbers that it tries until the words of a text of
// 11 ASCII characters result. That takes about half a million tries.
func organizationOf(hash int32) string {
	var key [12]byte
	h := 0x9e3779b9 + uint32(len(key)-1) + 3923095
	for n := uint32(1); ; n++ {
		a, b, c := n*0x9e3779b1, n*0x85ebca6b, uint32(hash)
		c = (c + bits.RotateLeft32(b, 24)) ^ b
		b = (b + bits.RotateLeft32(a, 14)) ^ a
		a = (a + bits.RotateLeft32(c, 4)) ^ c
		c = (c + bits.RotateLeft32(b, 16)) ^ b
		b = (b + bits.RotateLeft32(a, 25)) ^ a
		a = (a + bits.RotateLeft32(c, 11)) ^ c
		c = (c + bits.RotateLeft32(b, 14)) ^ b
		if (c-h)&0xff != 0 {
			continue
		}
		binary.LittleEndian.PutUint32(key[:], a-h)
		binary.LittleEndian.PutUint32(key[4:], b-h)
		binary.LittleEndian.PutUint32(key[8:], (c-h)>>8)
		if text := key[:len(key)-1]; !slices.ContainsFunc(text, func(b byte) bool { return b == 0 || b >= utf8.RuneSelf }) {
			return string(text)
		}
	}
}
