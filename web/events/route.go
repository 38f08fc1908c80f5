package events

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/incidentkit/incident"
)

// DefaultAlertRule is the default of [Route.AlertRuleID].
const DefaultAlertRule incident.AlertRuleID = "events"

// minKeySize is half of PagerDuty's 32 bytes. A shorter key could be guessed.
const minKeySize = 16

// Route says where the events of a routing key belong.
type Route struct {
	// Key is the routing key, a secret of at least 16 bytes: see [NewKey]. Some tools insist on
	// 32 bytes. A [Handler] keeps only its hash. Two routes can lead to the same project while
	// a key is replaced.
	Key string

	// OrganizationID and ProjectID own the incidents. Required.
	OrganizationID incident.OrganizationID
	ProjectID      incident.ProjectID

	// AlertRuleID is the alert rule of the incidents.
	//
	// Defaults to [DefaultAlertRule].
	AlertRuleID incident.AlertRuleID

	// ReopenWithin is that of [incident.Firing].
	ReopenWithin time.Duration

	// IgnoreTimestamps makes each event count as of its arrival. Set it for a source whose clock
	// is wrong, or whose resolves have older timestamps than its triggers. A timestamp then
	// only identifies repetitions.
	IgnoreTimestamps bool
}

// Slot returns the slot of a dedup_key. Its QueryID is the dedup_key. A dedup_key that is no valid
// QueryID, and one that looks like a hash, has its hash there.
func (r *Route) Slot(dedupKey string) incident.Slot {
	return incident.Slot{
		OrganizationID: r.OrganizationID,
		AlertRuleID:    cmp.Or(r.AlertRuleID, DefaultAlertRule),
		ProjectID:      r.ProjectID,
		QueryID:        queryOf(dedupKey),
	}
}

const hashPrefix = "sha256:"

func queryOf(dedupKey string) incident.QueryID {
	if incident.IsID(dedupKey) && !strings.HasPrefix(dedupKey, hashPrefix) {
		return incident.QueryID(dedupKey)
	}
	sum := sha256.Sum256([]byte(dedupKey))
	return incident.QueryID(hashPrefix + hex.EncodeToString(sum[:]))
}

// route is a [Route] with the hash of its key.
type route struct {
	Route // without Key
	hash  [sha256.Size]byte
}

func checkRoutes(routes []Route) ([]route, error) {
	checked := make([]route, 0, len(routes))
	for i, r := range routes {
		problem := ""
		switch {
		case len(r.Key) < minKeySize:
			problem = fmt.Sprintf("Key has %d bytes, want at least %d; use NewKey", len(r.Key), minKeySize)
		case r.OrganizationID == "":
			problem = "OrganizationID is required"
		case r.ProjectID == "":
			problem = "ProjectID is required"
		case max(len(r.OrganizationID), len(r.ProjectID), len(r.AlertRuleID)) > incident.MaxIDSize:
			problem = fmt.Sprintf("identifiers have a limit of %d bytes", incident.MaxIDSize)
		case !incident.IsID(r.OrganizationID) || !incident.IsID(r.ProjectID) || r.AlertRuleID != "" && !incident.IsID(r.AlertRuleID):
			problem = "identifiers must be valid UTF-8 without control characters"
		case r.ReopenWithin < 0:
			problem = "ReopenWithin must not be negative"
		}
		if problem != "" {
			return nil, fmt.Errorf("events: route %d: %s", i+1, problem)
		}
		c := route{Route: r, hash: sha256.Sum256([]byte(r.Key))}
		c.Key = ""
		for j := range checked {
			if checked[j].hash == c.hash {
				return nil, fmt.Errorf("events: routes %d and %d have the same key", j+1, i+1)
			}
		}
		checked = append(checked, c)
	}
	return checked, nil
}

var errUnknownKey = errors.New("'routing_key' is unknown")

// find returns the route of a key. It compares the hash with that of each route in constant time, so
// that the time reveals neither a part of a key nor whether a key is known.
func find(routes []route, key string) (*Route, error) {
	hash, found := sha256.Sum256([]byte(key)), -1
	for i := range routes {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(hash[:], routes[i].hash[:]), i, found)
	}
	if found < 0 {
		return nil, errUnknownKey
	}
	return &routes[found].Route, nil
}

// hashOf returns the SHA-256 of texts. Each is hashed after its length, so that different lists of
// texts have different hashes.
func hashOf(texts ...string) [sha256.Size]byte {
	h := sha256.New()
	for _, text := range texts {
		_ = binary.Write(h, binary.BigEndian, uint64(len(text))) // never fails
		h.Write([]byte(text))
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// uuidOf returns a UUID of version 8 that is the hash of texts.
func uuidOf(texts ...string) [16]byte {
	hash := hashOf(texts...)
	id := [16]byte(hash[:])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}
