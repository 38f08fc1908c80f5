package console

// Route is a route as the tests see it.
type Route struct {
	Pattern        string
	Operator, Seen bool
}

// Routes returns all routes.
func Routes() (all []Route) {
	for _, rt := range table() {
		all = append(all, Route{rt.pattern, rt.operator, rt.seen})
	}
	return all
}
