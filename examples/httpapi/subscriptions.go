package main

import "net/http"

func (a *api) subscribe(c *call) error {
	key, err := c.key()
	if err != nil {
		return err
	}
	if _, err := a.incidents.Subscribe(c.ctx, key, c.user); err != nil {
		return err
	}
	return c.send(http.StatusCreated, struct{}{})
}

// unsubscribe checks access itself: the Manager lets every user unsubscribe.
func (a *api) unsubscribe(c *call) error {
	key, err := a.readable(c)
	if err != nil {
		return err
	}
	if err := a.incidents.Unsubscribe(c.ctx, key, c.user); err != nil {
		return err
	}
	return c.send(http.StatusOK, struct{}{})
}
