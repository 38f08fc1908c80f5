package main

import (
	"context"
	"encoding/binary"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.etcd.io/bbolt"
)

// bolt creates incidents in bbolt. A bucket stands for a table or an index of the SQLite store,
// with the same keys. The values of tables are the columns, one after the other; those of
// indexes are empty.
type bolt struct{ db *bbolt.DB }

// The buckets that a creation writes to.
var (
	boltOrganizations = []byte("incident_organization")
	boltIncidents     = []byte("incident")
	boltChanged       = []byte("incident_changed")
	boltList          = []byte("incident_list")
	boltProjects      = []byte("incident_project")
	boltActivities    = []byte("incident_activity")
	boltNotifications = []byte("incident_notification")
	boltHistory       = []byte("incident_history")
)

func newBolt(path string) (*bolt, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, NoFreelistSync: true})
	if err != nil {
		return nil, err
	}
	// By default a batch of 16 callers waits 10 ms for more.
	db.MaxBatchSize = 16
	return &bolt{db}, db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{
			boltOrganizations, boltIncidents, boltChanged, boltList, boltProjects, boltActivities, boltNotifications, boltHistory,
		} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
}

// key joins the parts of a key: texts, each after its length, and integers.
func boltKey(parts ...any) []byte {
	var key []byte
	for _, part := range parts {
		switch v := part.(type) {
		case string:
			key = binary.AppendUvarint(key, uint64(len(v)))
			key = append(key, v...)
		case []byte:
			key = append(key, v...)
		case int64:
			key = binary.BigEndian.AppendUint64(key, uint64(v))
		}
	}
	return key
}

// put is a key with its value.
type put struct{ bucket, key, value []byte }

// increment adds one to a counter, and returns it.
func increment(tx *bbolt.Tx, bucket, key []byte) (int64, error) {
	b := tx.Bucket(bucket)
	var n uint64
	if value := b.Get(key); value != nil {
		n = binary.BigEndian.Uint64(value)
	}
	n++
	return int64(n), b.Put(key, binary.BigEndian.AppendUint64(nil, n))
}

// write writes an incident.
func (b *bolt) write(tx *bbolt.Tx, org string, first, second uuid.UUID, at int64) error {
	n, err := increment(tx, boltOrganizations, boltKey(org))
	if err != nil {
		return err
	}
	changed, err := increment(tx, boltHistory, []byte("transactions"))
	if err != nil {
		return err
	}
	row := boltKey(int64(1), int64(2), changed, int64(0), int64(1), int64(1), at, at, at, title, strings.ToLower(title), "", "", `["`+project+`"]`)
	for _, p := range []put{
		{boltIncidents, boltKey(org, n), row},
		{boltChanged, boltKey(changed, org, n), nil},
		{boltList, boltKey(org, int64(1), at, n), nil},
		{boltProjects, boltKey(org, project, at, n), nil},
		{boltActivities, boltKey(org, n, int64(1)), boltKey(int64(0), int64(4), int64(0), int64(0), at, first[:], user, "")},
		{boltNotifications, boltKey(first[:], org), boltKey(n, int64(1))},
		{boltActivities, boltKey(org, n, int64(2)), boltKey(int64(0), int64(1), int64(1), int64(0), at, second[:], user, "")},
		{boltNotifications, boltKey(second[:], org), boltKey(n, int64(2))},
	} {
		if err := tx.Bucket(p.bucket).Put(p.key, p.value); err != nil {
			return err
		}
	}
	return nil
}

// create writes an incident in a transaction, alone or shared with concurrent calls.
func (b *bolt) create(org string, shared bool) error {
	first, second, at := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7()), time.Now().UnixMicro()
	run := b.db.Update
	if shared {
		run = b.db.Batch
	}
	return run(func(tx *bbolt.Tx) error { return b.write(tx, org, first, second, at) })
}

// sqliteBolt compares creations with the same keys in bbolt.
func sqliteBolt(ctx context.Context, f *files, _ *server) ([]comparison, error) {
	m, _, err := f.manager(ctx, nil)
	if err != nil {
		return nil, err
	}
	b, err := newBolt(f.path("bolt"))
	if err != nil {
		return nil, err
	}
	f.closers = append(f.closers, b.db)
	creates := func(goroutines int, bar float64, name string, shared bool) comparison {
		return comparison{
			ours:       &side{name: "Create beside bbolt, in SQLite", call: func(g, n int) error { return create(ctx, m, orgOf(g*17+n)) }},
			theirs:     &side{name: name, call: func(g, n int) error { return b.create(orgOf(g*17+n), shared) }},
			goroutines: goroutines, bar: bar,
		}
	}
	return []comparison{
		creates(1, 1.3, "bbolt's Update with the same keys", false),
		creates(16, 1.3, "bbolt's Update with the same keys", false),
		creates(16, 0, "bbolt's Batch of at most 16", true),
	}, nil
}
