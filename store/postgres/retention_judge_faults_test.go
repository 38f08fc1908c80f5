//go:build unix

package postgres_test

import (
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

// The verdict counts each wrong answer, and no right answer.
func TestRetention_underLoadRejectsFaults(t *testing.T) {
	t.Parallel()
	key := incident.Key{OrganizationID: calledOrg, Identifier: 7}
	gone := map[incident.Key]*deletion{key: {from: at(10), until: at(20)}}
	see := func(process int, kind kindOfRead, found bool, call, end int) sighting {
		return sighting{Kind: kind, Process: process, Org: key.OrganizationID, Identifier: key.Identifier, Found: found, Call: at(call), Return: at(end)}
	}
	purge := sighting{Kind: purged, Process: 2, Org: calledOrg, Call: at(5), Return: at(30)}
	for name, c := range map[string]struct {
		all  []sighting
		want retentionVerdict
	}{
		"found before, gone after": {[]sighting{
			see(0, storedRead, true, 1, 12), see(0, cachedRead, true, 15, 900), see(0, cachedRead, false, 901, 902), see(1, cachedRead, true, 1000, 1001),
			see(2, cachedRead, true, 29, 40), purge,
		}, retentionVerdict{}},
		"a cache answers too long":                 {[]sighting{see(0, cachedRead, true, 1021, 1022)}, retentionVerdict{Late: 1}},
		"a read finds the dead":                    {[]sighting{see(0, storedRead, true, 21, 25)}, retentionVerdict{Dead: 1}},
		"a write changes the dead":                 {[]sighting{see(0, written, true, 21, 25)}, retentionVerdict{Dead: 1}},
		"the own cache was not told":               {[]sighting{purge, see(2, cachedRead, true, 31, 32)}, retentionVerdict{Own: 1}},
		"gone, and found again by the same cache":  {[]sighting{see(1, written, false, 11, 12), see(1, cachedRead, true, 13, 14)}, retentionVerdict{Back: 1}},
		"gone, and still found by another's cache": {[]sighting{see(1, written, false, 11, 12), see(0, cachedRead, true, 13, 14)}, retentionVerdict{}},
	} {
		t.Run(name, func(t *testing.T) {
			var v retentionVerdict
			v.sightings(c.all, gone)
			v.Reads, v.Writes, v.Creations = 0, 0, 0
			if v != c.want {
				t.Errorf("got %+v, want %+v", v, c.want)
			}
		})
	}
}

// at returns a time in milliseconds as nanoseconds.
func at(ms int) int64 { return int64(time.Duration(ms) * time.Millisecond) }
