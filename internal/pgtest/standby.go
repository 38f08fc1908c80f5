package pgtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// program runs a program of PostgreSQL in the server's folder.
func (s *Server) program(name string, args ...string) error {
	return s.command(filepath.Join(s.programs, name), args...)
}

// command runs a program in the server's folder as the user of the server.
func (s *Server) command(path string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = s.home.dir
	if err := asUnprivileged(cmd); err != nil {
		return err
	}
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pgtest: %s: %w: %s", filepath.Base(path), err, tail(output))
	}
	return nil
}

// Shutdown stops the server in an orderly way and keeps its data for Restart.
func (s *Server) Shutdown() error {
	if !s.CanRestart() {
		return errForeign
	}
	if s.process == nil {
		return nil
	}
	if err := s.program("pg_ctl", "stop", "--pgdata="+s.data(), "--mode=fast", "--wait"); err != nil {
		return err
	}
	<-s.ended
	s.process = nil
	return nil
}

func (s *Server) backup() string { return filepath.Join(s.home.dir, "backup") }

// Backup copies the data of a server that is shut down. It replaces an earlier copy.
func (s *Server) Backup() error { return s.copyData(s.data(), s.backup()) }

// Restore replaces the data of a server that is not running with the last Backup.
func (s *Server) Restore() error { return s.copyData(s.backup(), s.data()) }

func (s *Server) copyData(from, to string) error {
	if !s.CanRestart() {
		return errForeign
	}
	if s.process != nil {
		return errors.New("pgtest: a server must be shut down before its data is copied")
	}
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if output, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		return fmt.Errorf("pgtest: copy the data: %w: %s", err, tail(output))
	}
	return nil
}

// standbyName is the standby's name in synchronous_standby_names.
const standbyName = "standby"

// Standby starts a standby that replicates the server until Promote or Detach.
func (s *Server) Standby() (*Server, error) {
	if !s.CanRestart() {
		return nil, errForeign
	}
	home, err := newHome()
	if err != nil {
		return nil, err
	}
	standby := &Server{programs: s.programs, home: home}
	source := fmt.Sprintf("host=127.0.0.1 port=%d user=postgres application_name=%s", s.port, standbyName)
	err = standby.program("pg_basebackup", "--dbname="+source, "--pgdata="+standby.data(),
		"--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync")
	if err == nil {
		err = standby.configure("unix_socket_directories = '"+home.dir+"'", "cluster_name = '"+standby.name()+"'",
			"hot_standby = on", "synchronous_standby_names = ''")
	}
	if err == nil {
		err = standby.Restart()
	}
	if err != nil {
		standby.Stop()
		return nil, err
	}
	return standby, nil
}

// WaitForStandby makes every later commit of the server wait for its standby.
func (s *Server) WaitForStandby() error {
	if err := s.do("ALTER SYSTEM SET synchronous_standby_names = '" + standbyName + "'"); err != nil {
		return err
	}
	if err := s.do("SELECT pg_reload_conf()"); err != nil {
		return err
	}
	return s.await("SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')")
}

// Detach stops a standby from receiving later commits.
func (s *Server) Detach() error {
	if err := s.do("ALTER SYSTEM SET primary_conninfo = ''"); err != nil {
		return err
	}
	if err := s.do("SELECT pg_reload_conf()"); err != nil {
		return err
	}
	return s.await("SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)")
}

// Promote makes a standby independent. It accepts writes when Promote returns.
func (s *Server) Promote() error {
	if err := s.do("SELECT pg_promote()"); err != nil {
		return err
	}
	return s.await("SELECT NOT pg_is_in_recovery()")
}

// do runs a command in the server's own database.
func (s *Server) do(command string) error {
	return s.query(func(db *sql.DB) error {
		if _, err := db.Exec(command); err != nil {
			return fmt.Errorf("pgtest: %s: %w", command, err)
		}
		return nil
	})
}

// await waits until a query returns true.
func (s *Server) await(query string) error {
	return s.query(func(db *sql.DB) error {
		for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			var is bool
			if err := db.QueryRow(query).Scan(&is); err != nil {
				return err
			}
			if is {
				return nil
			}
		}
		return fmt.Errorf("pgtest: timeout waiting for %s", query)
	})
}

func (s *Server) query(fn func(db *sql.DB) error) error {
	db, err := sql.Open("postgres", s.url)
	if err != nil {
		return err
	}
	defer db.Close()
	return fn(db)
}
