//go:build citus

package postgres_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/jmoiron/sqlx"
)

// The connections to the coordinator, and those of the coordinator to the workers, end while they
// are used.
func TestCitus_backendsKilled(t *testing.T) {
	t.Run("coordinator", func(t *testing.T) { underKills(t, nil) })
	t.Run("workers", func(t *testing.T) { underKills(t, openCitusWorkers(t, 16)) })
}

func underKills(t *testing.T, workers func(string) *sqlx.DB) {
	admins := []*sqlx.DB{mustOpen(t, citusURL(t), 1)}
	for _, url := range citusWorkerURLs(t) {
		admins = append(admins, mustOpen(t, url, 1))
	}
	pool := mustOpen(t, citusURL(t)+fmt.Sprintf("&options=-ccitus.shard_count%%3D%d", citusShards), 16)
	opts := mustCitusSchema(t, pool, fmt.Sprintf("incident_%d_killed_%t", os.Getpid(), workers != nil))
	opts.CitusWorker = workers
	round := 0
	crashUnder(t, mustNew(t, mustOpen(t, citusURL(t), 16), &opts), 12, func() {
		_, err := admins[round%len(admins)].Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' AND query ~ 'incident_(run|read|execute)' AND random() < 0.7`)
		if err != nil {
			t.Error(fmt.Errorf("terminate backends: %w", err))
		}
		round++
	})
}
