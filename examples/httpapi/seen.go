package main

import "net/http"

// markSeen answers as the reference does, with an empty object. The Manager asks
// the directory who may see the incident, and stores nothing for others.
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
