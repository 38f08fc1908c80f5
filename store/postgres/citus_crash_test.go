//go:build citus

package postgres_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"
)

// The connections to the coordinator, and those of the coordinator to the workers, end while they
// are used.
func TestCitus_backendsKilled(t *testing.T) {
	urls := []string{citusURL(t)}
	workers := os.Getenv("INCIDENT_TEST_CITUS_WORKER_URLS")
	if workers == "" {
		t.Fatal("INCIDENT_TEST_CITUS_WORKER_URLS is not set; it has the URLs of the workers of Citus, with commas between them")
	}
	var admins []*sqlx.DB
	for _, url := range append(urls, strings.Split(workers, ",")...) {
		admins = append(admins, mustOpen(t, url, 1))
	}
	pool := mustOpen(t, citusURL(t)+fmt.Sprintf("&options=-ccitus.shard_count%%3D%d", citusShards), 16)
	opts := mustCitusSchema(t, pool, fmt.Sprintf("incident_%d_killed", os.Getpid()))
	round := 0
	crashUnder(t, mustNew(t, mustOpen(t, citusURL(t), 16), &opts), 12, func() {
		_, err := admins[round%len(admins)].Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' AND query LIKE '%incident_run%' AND random() < 0.7`)
		if err != nil {
			t.Error(fmt.Errorf("terminate backends: %w", err))
		}
		round++
	})
}
