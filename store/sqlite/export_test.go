package sqlite

import "context"

// SetFileSystem makes each directory be on the named network file system, until the returned
// function is called.
func SetFileSystem(name string) (restore func()) {
	before := fileSystemOf
	fileSystemOf = func(string) string { return name }
	return func() { fileSystemOf = before }
}

// Exec runs a statement on the connection that writes, between the writes.
func (s *Store) Exec(ctx context.Context, text string) error {
	if err := s.writer.takeTurn(ctx); err != nil {
		return err
	}
	defer s.writer.endTurn()
	_, err := s.writer.conn.exec(context.Background(), text)
	return err
}

// StatementsOf returns the statements of a migration.
var StatementsOf = statementsOf
