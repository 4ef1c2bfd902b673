package rebuild

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// datasets brings back what assets say of the objects on offer, so that a start which comes before the first sweep is not refused
// and nothing need be read again to take its digest. An object that is not as its asset says is left to the sweep. The records
// say nothing of the terms: the sweep finds that and has the offers compared with the tenant's document.
func (r *Rebuilder) datasets(ctx context.Context, t *tenant.Tenant, cp ControlPlane, rep *report) error {
	if len(t.Publish) == 0 {
		return nil
	}
	stores := map[string]objectstore.Store{}
	defer func() {
		for _, s := range stores {
			_ = s.Close() // nothing was written
		}
	}()
	for a, err := range cp.QueryAssets(ctx, management.Query{PageSize: pageSize}) {
		if err != nil {
			return fmt.Errorf("assets: %w", err)
		}
		d, ok := published(t, a)
		if !ok {
			continue
		}
		s, ok := stores[d.Bucket]
		if !ok {
			b, ok := t.Bucket(d.Bucket)
			if !ok {
				continue
			}
			if s, err = r.Open(ctx, b); err != nil {
				return err
			}
			stores[d.Bucket] = s
		}
		o, err := s.Head(ctx, d.Key)
		if err != nil || o.Size != d.Size || !o.Modified.UTC().Truncate(time.Millisecond).Equal(d.Modified) {
			rep.add("datasets left to the sweep: the object is not as its asset says")
			continue
		}
		d.StoreETag = o.ETag
		if err := r.writeDataset(ctx, t, d, rep); err != nil {
			return err
		}
	}
	return nil
}

// published is the record of an asset that was published from a bucket and is on offer.
func published(t *tenant.Tenant, a *management.Asset) (gatewayapi.Dataset, bool) {
	private := func(name string) string { return text(a.PrivateProperties, name) }
	public := func(name string) string { return text(a.Properties, name) }
	rule, ok := strings.CutPrefix(private("tidegateOffer"), t.ParticipantContextID+"-")
	if !ok {
		return gatewayapi.Dataset{}, false
	}
	d := gatewayapi.Dataset{
		ID: a.ID, Bucket: private("bucket"), Key: private("objectKey"), Rule: rule, ContractDefinition: private("tidegateOffer"),
		SHA256: public("sha256"), ContentType: public("contenttype"), PublishedAt: now().Truncate(time.Millisecond),
	}
	var sizeErr, timeErr error
	d.Size, sizeErr = strconv.ParseInt(public("size"), 10, 64)
	d.Modified, timeErr = time.Parse(time.RFC3339Nano, public("modified"))
	return d, sizeErr == nil && timeErr == nil && d.Bucket != "" && d.Key != ""
}

func (r *Rebuilder) writeDataset(ctx context.Context, t *tenant.Tenant, d gatewayapi.Dataset, rep *report) error {
	made, err := r.create(ctx, t, gatewayapi.KindDataset, d.ID, &d)
	switch {
	case problem.Is(err, problem.Invalid):
		rep.add("datasets left to the sweep: their asset does not tell enough")
	case err != nil:
		return err
	case made:
		rep.add("datasets brought back")
	default:
		rep.add("datasets that were there")
	}
	return nil
}
