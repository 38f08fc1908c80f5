package postgres

// Statements returns the texts that the store has prepared.
func (s *Store) Statements() (texts []string) {
	s.statements.byText.Range(func(text, _ any) bool {
		texts = append(texts, text.(string))
		return true
	})
	return texts
}
