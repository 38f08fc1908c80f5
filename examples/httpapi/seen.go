package main

import "net/http"

// markSeen responds like Sentry's API, with an empty object. The Manager asks the
// directory for access and records nothing without it.
func (a *api) markSeen(c *call) error {
	key, err := c.key()
	if err != nil {
		return err
	}
	if _, err := a.incidents.MarkSeen(c.ctx, key, c.user); err != nil {
		return err
	}
	return c.send(http.StatusCreated, struct{}{})
}
