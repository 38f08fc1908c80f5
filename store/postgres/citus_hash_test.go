package postgres

import (
	"math"
	"testing"
)

// The hashes are those of hashtext of PostgreSQL.
func TestShardHash(t *testing.T) {
	for key, want := range map[string]int32{
		"": -1477818771, "a": 1075015857, "abcd": -393934804, "organization": 102554927, "organization 1": 694060276,
		"organization 17": 857301491, "acme": -1850687378, "Zürich und Genf": 221535047, "a longer text with more than 24 bytes in it": 424913952,
	} {
		if got := shardHash(key); got != want {
			t.Errorf("the hash of %q is %d, want %d", key, got, want)
		}
	}
}

func TestOrganizationOf(t *testing.T) {
	for _, hash := range []int32{0, 1, -1, math.MinInt32, math.MaxInt32, shardHash("acme"), 1 << 30} {
		if text := organizationOf(hash); shardHash(text) != hash || len(text) != 11 {
			t.Errorf("%q has hash %d, want %d", text, shardHash(text), hash)
		}
	}
}
