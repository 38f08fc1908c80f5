package incident

import (
	"context"
	"iter"
)

// AllOrganizations returns the organizations with incidents in ascending order, for operators'
// programs. It reads page by page as the loop proceeds. An organization that gets its first
// incident during the loop may be missing. After an error, which comes with an empty
// ID, the loop ends.
func AllOrganizations(ctx context.Context, m RetentionManager) iter.Seq2[OrganizationID, error] {
	return func(yield func(OrganizationID, error) bool) {
		after := OrganizationID("")
		for {
			page, err := m.Organizations(ctx, after, MaxPageSize)
			if err != nil {
				yield("", err)
				return
			}
			for _, org := range page {
				if !yield(org, nil) {
					return
				}
			}
			if len(page) < MaxPageSize {
				return
			}
			after = page[len(page)-1]
		}
	}
}
