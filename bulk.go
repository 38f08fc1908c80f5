package incident

import "github.com/google/uuid"

// MaxBulk is the most incidents of a call for many.
const MaxBulk = 100

// BulkResult is the result for a single incident of a call for many. If Err is not nil, Result is
// zero, and is left out of the JSON.
type BulkResult struct {
	Key    Key    `json:"key"`
	Result Result `json:"incident,omitzero"`
	Err    error  `json:"-"`
}

// checkBulk validates the keys of a call for many.
func checkBulk(keys []Key, expectVersion int64) error {
	if len(keys) > MaxBulk {
		return invalid("keys", "has %d entries, limit %d", len(keys), MaxBulk)
	}
	if expectVersion != 0 {
		return invalid("version", "must be 0 for many incidents")
	}
	seen := make(map[Key]bool, len(keys))
	for _, key := range keys {
		if err := checkKey(key); err != nil {
			return err
		}
		switch {
		case key.OrganizationID != keys[0].OrganizationID:
			return invalid("keys", "must name incidents of one organization")
		case seen[key]:
			return invalid("keys", "names incident %d twice", key.Identifier)
		}
		seen[key] = true
	}
	return nil
}

// uuidOf returns the UUID of the activity of an incident in a call for many, zero for the
// zero UUID.
func uuidOf(call uuid.UUID, key Key) uuid.UUID {
	if call == uuid.Nil {
		return uuid.Nil
	}
	return uuid.NewSHA1(call, []byte(key.String()))
}
