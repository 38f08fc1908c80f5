package postgres

// Statements returns the texts that the store has sent.
func (s *Store) Statements() (texts []string) {
	s.forms.mu.RLock()
	defer s.forms.mu.RUnlock()
	for _, f := range s.forms.byShape {
		texts = append(texts, f.text)
	}
	return texts
}
