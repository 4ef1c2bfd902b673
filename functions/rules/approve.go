package rules

import (
	"encoding/json"
	"fmt"
	"time"

	"cel.dev/cel-go/cel"

	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// RuleDefault is the name in a decision that no rule made.
const RuleDefault = "default"

// Input is what the rules of a negotiation see.
type Input struct {
	CounterParty CounterParty   `json:"counterparty"`
	Claims       map[string]any `json:"claims"` // nil = not told yet
	Asset        Asset          `json:"asset"`
	Offer        Offer          `json:"offer"`
	Now          time.Time      `json:"now"`
}

// Outcome is what the rules say.
type Outcome struct {
	Verdict     gatewayapi.Verdict
	Rule        string
	Reason      string
	NeedsClaims bool // the rule looks at claims, and they are not told yet; the verdict is Review until they are
}

// Approval is a tenant's compiled approve rules.
type Approval struct {
	rules        []approveRule
	fallback     gatewayapi.Verdict
	fallbackText string
}

type approveRule struct {
	tenant.Rule
	program    cel.Program
	usesClaims bool
}

// CompileApproval compiles the rules of a tenant's document.
func CompileApproval(a tenant.Approve) (*Approval, error) {
	out := &Approval{fallback: verdictOf(a.Default), fallbackText: "no rule matched"}
	for i, r := range a.Rules {
		p, err := compile(approveEnv, fmt.Sprintf("approve.rules[%d].when", i), r.When)
		if err != nil {
			return nil, err
		}
		uses, err := usesClaims(r.When)
		if err != nil {
			return nil, err
		}
		out.rules = append(out.rules, approveRule{Rule: r, program: p, usesClaims: uses})
	}
	return out, nil
}

// Decide evaluates the rules in order; the first that matches decides. A rule that can't be evaluated (a claim that is not
// there, a type that differs) is for a person to decide: neither a yes nor a no that nobody meant.
func (a *Approval) Decide(in Input) Outcome {
	variables := map[string]any{"counterparty": in.CounterParty, "claims": in.Claims, "asset": in.Asset, "offer": in.Offer}
	for _, r := range a.rules {
		if r.usesClaims && in.Claims == nil {
			return Outcome{
				Verdict: gatewayapi.Review, Rule: r.Name, NeedsClaims: true,
				Reason: fmt.Sprintf("rule %s looks at claims, which are told only with the agreement", r.Name),
			}
		}
		match, err := evaluate(r.program, variables, in.Now)
		if err != nil {
			return Outcome{Verdict: gatewayapi.Review, Rule: r.Name, Reason: fmt.Sprintf("rule %s can't be evaluated: %v", r.Name, err)}
		}
		if match {
			return Outcome{Verdict: verdictOf(r.Then), Rule: r.Name, Reason: r.Reason}
		}
	}
	return Outcome{Verdict: a.fallback, Rule: RuleDefault, Reason: a.fallbackText}
}

// usesClaims tells whether a valid expression looks at claims: it does if it means nothing without that variable.
func usesClaims(expression string) (bool, error) {
	e, err := claimlessEnv()
	if err != nil {
		return false, fmt.Errorf("CEL environment: %w", err)
	}
	_, issues := e.Compile(expression)
	return issues.Err() != nil, nil
}

// JSON is the input as the decision record keeps it.
func (in Input) JSON() (json.RawMessage, error) {
	b, err := json.Marshal(in)
	if err != nil {
		return nil, problem.Wrap(problem.Internal, err, "input of the rules")
	}
	return b, nil
}

func verdictOf(s string) gatewayapi.Verdict {
	switch s {
	case "approve":
		return gatewayapi.Approved
	case "reject":
		return gatewayapi.Rejected
	}
	return gatewayapi.Review
}
