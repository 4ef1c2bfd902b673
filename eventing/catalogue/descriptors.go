package catalogue

// Programs that send events.
const (
	programGateway = "dps-gateway"
	programPing    = "PingSource"
)

var descriptors = []Descriptor{
	describe[Object](ObjectCreated, "bucket-events", "<bucket>/<key>", "An object is in a tenant's bucket that was not there before."),
	describe[Object](ObjectChanged, "bucket-events", "<bucket>/<key>", "An object in a tenant's bucket has other content than before."),
	describe[Object](ObjectRemoved, "bucket-events", "<bucket>/<key>", "An object of a tenant's bucket is gone."),
	describe[Dataset](DatasetPublished, "asset-publisher", "the dataset id", "A dataset, or a new version of it, is on offer at the control plane."),
	describe[Dataset](DatasetWithdrawn, "asset-publisher", "the dataset id", "A dataset is on offer no more."),
	describe[Negotiation](NegotiationInitiated, "subscription-manager", "the negotiation id", "A negotiation was started for a tenant as consumer."),
	describe[Negotiation](NegotiationRequested, programGateway, "the negotiation id", "The control plane told of a negotiation, at either side."),
	describe[Decided](NegotiationDecided, "negotiation-approver", "the negotiation id, or the agreement id where that is all there is",
		"Rules or a person have decided whether a counterparty may have a dataset."),
	describe[Verdict](VerdictGiven, programGateway, "the decision's id", "A person has decided what the rules left open."),
	describe[Negotiation](NegotiationFinalized, programGateway, "the negotiation id", "The control plane told that a negotiation has come to an agreement."),
	describe[Negotiation](NegotiationTerminated, programGateway, "the negotiation id", "The control plane told that a negotiation has failed."),
	describe[Transfer](TransferRequested, "subscription-manager", "the transfer process id", "A transfer was started for a tenant as consumer."),
	describe[DataFlow](DataFlowPrepared, programGateway, "the data flow id", "A data flow is prepared."),
	describe[DataFlow](DataFlowStarted, programGateway, "the data flow id", "A data flow has started: data may move."),
	describe[DataFlow](DataFlowSuspended, programGateway, "the data flow id", "A data flow is suspended: no data may move."),
	describe[DataFlow](DataFlowResumed, programGateway, "the data flow id", "A suspended data flow has started again."),
	describe[Transfer](TransferProgressed, "transfer-puller", "the transfer process id", "A slice of a transfer has ended and there is more to do.").and("transfer-pusher"),
	describe[Delivered](ObjectDelivered, "transfer-puller", "<sink>/<key>", "An object is whole and verified in the tenant's sink.").and(programGateway),
	describe[DataFlow](DataFlowCompleted, programGateway, "the data flow id", "A data flow has done its work."),
	describe[DataFlow](DataFlowTerminated, programGateway, "the data flow id", "A data flow has ended before its work was done."),
	describe[Transfer](TransferTerminated, programGateway, "the transfer process id", "The control plane told that a transfer process is terminated."),
	describe[Tick](Schedule, programPing, "", "It is time to look. The extension schedule says at what; it is for all tenants."),
}
