//go:build citus

package postgres_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// A shard whose server has had many transactions moves to one that has had few. The feed does not report its
// rows again and again, and a deletion that was forgotten before the move is no Reset after it.
func TestCitus_feedFromLaterServer(t *testing.T) {
	s := mustRoute(t, "later", citusURL(t), nil)
	s.SetFeedMemory(0)
	keys := closedBy(t, s, "a rule", "another rule")
	org := keys[0].OrganizationID
	spendTransactions(t, s, org)
	if b, err := s.Purge(t.Context(), everythingDue()); err != nil || len(b.Purged) != 2 {
		t.Fatalf("Purge = %+v, %v", b, err)
	}
	mustUse(t, s, org)
	awaitForgotten(t, s)
	before := mustChanges(t, s, "").Position
	moveOrganization(t, s.Pool(), s.Schema(), org)
	if !mustChanges(t, s, before).Reset {
		t.Error("a move is no Reset")
	}
	moved := mustChanges(t, s, "").Position
	if c := mustChanges(t, s, moved); c.Reset || len(c.Incidents)+len(c.Slots) > 0 {
		t.Errorf("the changes after the move are %+v, want none", c)
	}
	mustUse(t, s, org)
	if c := mustChanges(t, s, moved); c.Reset || len(c.Incidents) == 0 {
		t.Errorf("the changes are %+v, want some", c)
	}

	// What is forgotten here is a Reset, whatever was forgotten there.
	closedBy(t, s, "a third rule")
	if b, err := s.Purge(t.Context(), everythingDue()); err != nil || len(b.Purged) != 1 {
		t.Fatalf("Purge = %+v, %v", b, err)
	}
	awaitForgotten(t, s)
	if !mustChanges(t, s, moved).Reset {
		t.Error("a deletion that was forgotten after the move is no Reset")
	}
}

// A shard that has moved away and is back has changed with the numbers of the other server.
func TestCitus_feedAfterReturn(t *testing.T) {
	s := mustRoute(t, "return", citusURL(t), nil)
	org := incident.OrganizationID("acme")
	mustUse(t, s, org)
	spendTransactions(t, s, org)
	before := mustChanges(t, s, "").Position
	other := mustNew(t, s.Pool(), &postgres.Options{Schema: s.Schema(), Citus: true})
	moveOrganization(t, s.Pool(), s.Schema(), org)
	mustUse(t, other, org)
	moveOrganization(t, s.Pool(), s.Schema(), org)
	if c := mustChanges(t, s, before); !c.Reset {
		t.Errorf("after the return of a shard the changes are %+v, want a Reset", c)
	}
}

// awaitForgotten waits until the records of all deletions are removed.
func awaitForgotten(t *testing.T, s *postgres.Store) {
	t.Helper()
	mustWait(t, func() (bool, error) {
		if _, err := s.Purge(t.Context(), everythingDue()); err != nil {
			return false, err
		}
		left := 0
		err := s.Pool().Get(&left, "SELECT count(*) FROM "+s.Schema()+".incident_deleted")
		return left == 0, err
	})
}

// spendTransactions has the server of an organization give out more transaction numbers than any other.
func spendTransactions(t *testing.T, s *postgres.Store, org incident.OrganizationID) {
	t.Helper()
	const number = "SELECT pg_current_xact_id()::text::bigint"
	of := map[string]int64{}
	most := int64(0)
	for address, url := range citusWorkerURLs(t) {
		n := int64(0)
		if err := mustOpen(t, url, 1).Get(&n, number); err != nil {
			t.Fatal(err)
		}
		of[address], most = n, max(most, n)
	}
	address := addressOf(t, s, org)
	mustOpen(t, citusWorkerURLs(t)[address], 1).MustExec(fmt.Sprintf(
		"DO $$ BEGIN FOR n IN 1..%d LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$", most-of[address]+20_000))
}

// addressOf returns the address of the server that has an organization.
func addressOf(t *testing.T, s *postgres.Store, org incident.OrganizationID) (address string) {
	t.Helper()
	err := s.Pool().Get(&address, "SELECT nodename || ':' || nodeport FROM pg_dist_node WHERE groupid = $1", serverOf(t, s, org))
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// moveOrganization moves the shard of an organization to another worker.
func moveOrganization(t *testing.T, pool *sqlx.DB, schema string, org incident.OrganizationID) {
	t.Helper()
	changeShards(t, pool, `
		SELECT citus_move_shard_placement(p.shardid, n.nodename, n.nodeport, o.nodename, o.nodeport, 'block_writes')
		FROM pg_dist_placement p
		JOIN pg_dist_node n USING (groupid)
		CROSS JOIN LATERAL (
			SELECT * FROM pg_dist_node o WHERE o.shouldhaveshards AND o.groupid <> p.groupid AND o.groupid <> 0 ORDER BY o.groupid LIMIT 1
		) o
		WHERE p.shardid = get_shard_id_for_distribution_column($1::text::regclass, $2::text)`, schema+".incident", string(org))
}

// changeShards runs a command of Citus, and again while Citus removes in the background what an earlier left.
func changeShards(t *testing.T, pool *sqlx.DB, command string, args ...any) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
		_, err := pool.Exec(command, args...)
		if err == nil {
			return
		}
		if !strings.Contains(err.Error(), "leftover from the previous") || time.Now().After(deadline) {
			t.Fatalf("%s: %v", command, err)
		}
	}
}
