package incident

import "context"

func (m *manager) Report(ctx context.Context, f ReportFilter) (Report, error) {
	r, err := m.reportOf(ctx, f)
	return r, wrap(err, "report of %q", f.OrganizationID)
}

func (m *manager) reportOf(ctx context.Context, f ReportFilter) (Report, error) {
	if err := m.usable(ctx); err != nil {
		return Report{}, err
	}
	q, err := f.query()
	if err != nil {
		return Report{}, err
	}
	store, ok := storeAs[ReportStore](m.store)
	if !ok {
		return Report{}, invalid("store", "computes no reports: it must be a ReportStore")
	}
	m.attempt()
	numbers, err := guarded(func() (ReportNumbers, error) { return store.Report(ctx, q) })
	if err == nil {
		err = numbers.check(&q)
	}
	if err := m.failed(err); err != nil {
		return Report{}, err
	}
	return numbers.report(q.Bounds, f.location()), nil
}
