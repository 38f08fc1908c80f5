//go:build citus

package postgres_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// eachCitusWay runs a test through the coordinator, and with routes to the workers.
func eachCitusWay(t *testing.T, run func(t *testing.T, workers func(string) *sqlx.DB)) {
	t.Run("coordinator", func(t *testing.T) { run(t, nil) })
	t.Run("workers", func(t *testing.T) { run(t, openCitusWorkers(t, 4)) })
}

// Reads of organizations of a server share a call, and have the same results as reads that go alone.
func TestCitus_reads(t *testing.T) {
	eachCitusWay(t, func(t *testing.T, workers func(string) *sqlx.DB) {
		s := mustRoute(t, fmt.Sprint("reads_", workers != nil), citusURL(t), workers)
		all := someReads(t, s)
		for _, read := range all { // so that there are reads of all servers
			read(t.Context())
		}
		alone := s.Schema() + ".incident_run(text, uuid, text, text[])"
		s.Pool().MustExec("ALTER FUNCTION " + alone + " RENAME TO incident_ran")
		mustShare(t, s, all)
		s.Pool().MustExec("ALTER FUNCTION " + s.Schema() + ".incident_ran(text, uuid, text, text[]) RENAME TO incident_run")
		mustMeet(t, s, all, s.ReadApart)
	})
}

// Reads go alone without the function for several, which MigrateCitus of an earlier version did not make.
func TestCitus_readsWithoutFunction(t *testing.T) {
	eachCitusWay(t, func(t *testing.T, workers func(string) *sqlx.DB) {
		s := mustRoute(t, fmt.Sprint("reads_alone_", workers != nil), citusURL(t), workers)
		s.Pool().MustExec("DROP FUNCTION " + s.Schema() + ".incident_run_many(text, uuid, text, text[])")
		mustUse(t, s, routedOrganizations()...)
	})
}

// incidentsOf makes an incident of each organization.
func incidentsOf(t *testing.T, s *postgres.Store, orgs []incident.OrganizationID) (keys []incident.Key, reads []func(context.Context) loaded) {
	t.Helper()
	m := mustManager(t, s)
	for _, org := range orgs {
		inc, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: org, Title: "Down"})
		mustDo(t, err)
		keys, reads = append(keys, inc.Key()), append(reads, loadKey(s, inc.Key()))
		mustDo(t, reads[len(reads)-1](t.Context()).err)
	}
	return keys, reads
}

// Reads together see what another process has written since a shard moved, of which the store knows
// nothing.
func TestCitus_readsAfterMove(t *testing.T) {
	eachCitusWay(t, func(t *testing.T, workers func(string) *sqlx.DB) {
		s := mustRoute(t, fmt.Sprint("reads_moved_", workers != nil), citusURL(t), workers)
		orgs := routedOrganizations()
		keys, reads := incidentsOf(t, s, orgs)
		if n := moveShards(t, s.Pool(), s.Schema(), "block_writes"); n == 0 {
			t.Fatal("no shard was moved")
		}
		other := mustManager(t, mustNew(t, mustOpen(t, citusURL(t), 4), &postgres.Options{Schema: s.Schema(), Citus: true}))
		for _, key := range keys {
			mustDo(t, only(other.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: incident.StatusCritical})))
		}
		for i, result := range readTogether(t.Context(), t, s, reads...) {
			if l := receive(t, result); l.err != nil || l.state.Incident.Version < 2 {
				t.Errorf("%s: version %d, %v, want that after the move", orgs[i], l.state.Incident.Version, l.err)
			}
		}
	})
}

// While a shard is locked by a move, reads of other shards do not wait for it.
func TestCitus_readsBesideMove(t *testing.T) {
	eachCitusWay(t, func(t *testing.T, workers func(string) *sqlx.DB) {
		s := mustRoute(t, fmt.Sprint("reads_beside_", workers != nil), citusURL(t), workers)
		var orgs []incident.OrganizationID
		var shards []int64
		locked := 0
		for _, org := range routedOrganizations() {
			var shard int64
			mustDo(t, s.Pool().Get(&shard, "SELECT get_shard_id_for_distribution_column($1::text::regclass, $2::text)", s.Schema()+".incident", string(org)))
			if orgs == nil || shard != shards[0] || locked < 2 { // reads that wait keep their connections
				orgs, shards = append(orgs, org), append(shards, shard)
			}
			if shard == shards[0] {
				locked++
			}
		}
		_, reads := incidentsOf(t, s, orgs)
		var tx []*sqlx.Tx // on each worker, because the test does not know which has the shard
		for _, url := range citusWorkerURLs(t) {
			mover := mustOpen(t, url, 1).MustBegin()
			defer mover.Rollback() //nolint:errcheck // after Rollback it does nothing
			mover.MustExec(fmt.Sprintf("SELECT lock_shard_metadata(7, ARRAY[%d])", shards[0]))
			tx = append(tx, mover)
		}
		results := readTogether(t.Context(), t, s, reads...)
		for i, result := range results {
			if shards[i] != shards[0] {
				mustDo(t, receive(t, result).err)
			} else if len(result) > 0 {
				t.Errorf("the read of %s does not wait for the move", orgs[i])
			}
		}
		for _, mover := range tx {
			mustDo(t, mover.Rollback())
		}
		for i, result := range results {
			if shards[i] == shards[0] {
				mustDo(t, receive(t, result).err)
			}
		}
	})
}
