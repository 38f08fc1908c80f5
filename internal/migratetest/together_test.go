package migratetest

import (
	"sync"
	"testing"

	"github.com/incidentkit/incident/internal/pgtest"
)

// A tool and processes that call Migrate may run at the same time. A single process
// creates the tables, and the others find them. The tool may fail if it meets Migrate,
// but Migrate never fails.
func TestTools_besideMigrate(t *testing.T) {
	for _, tool := range tools {
		t.Run(tool.name, func(t *testing.T) {
			url := pgtest.NewDatabase(t)
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					if err := migrate(t, url); err != nil {
						t.Error(err)
					}
				})
			}
			all.Go(func() {
				if err := tool.up(t, url); err != nil {
					t.Logf("the tool: %.200v", err)
				}
			})
			all.Wait()
			if err := open(t, url, nil); err != nil {
				t.Error(err)
			}
		})
	}
}
