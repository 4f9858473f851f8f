"""Rule packages that OPA takes and that do not decide what was meant, each mended.

The first text gives the finding, the second none at all; each stands below the head of a rule
package, with the published schemas.
"""

from __future__ import annotations

from tests.rego.lint_corpus import Case

_GOOD = 'deny contains "m" if not good\n\n'

SHAPES = [
    # 1. A comparison that is silent, or that null passes.
    Case(
        'deny contains "m" if input.args.amount > 1000',
        "fail-open-comparison",
        _GOOD + "good if {\n\tis_number(input.args.amount)\n\tinput.args.amount <= 1000\n}",
    ),
    Case(
        'deny contains "m" if {\n\tamount := input.args.amount\n\tamount > 1000\n}',
        "fail-open-comparison",
        _GOOD
        + "good if {\n\tamount := input.args.amount\n\tis_number(amount)\n\tamount <= 1000\n}",
    ),
    Case(
        'deny contains "m" if large\n\nlarge if input.args.amount > 1000',
        "fail-open-comparison",
        _GOOD + "good if {\n\tis_number(input.args.amount)\n\tinput.args.amount <= 1000\n}",
    ),
    Case(
        'deny contains "m" if large(input.args.amount)\n\nlarge(x) if x > 1000',
        "fail-open-comparison",
        _GOOD + "good if small(input.args.amount)\n\nsmall(x) if {\n\tis_number(x)\n\tx <= 1000\n}",
    ),
    Case(
        _GOOD + "good if input.args.amount <= 1000",
        "fail-open-comparison",
        _GOOD + "good if {\n\tis_number(input.args.amount)\n\tinput.args.amount <= 1000\n}",
    ),
    # 2. A limit that the data lacks.
    Case(
        'deny contains "m" if data.guardrails_data.project.closed[input.tool.name]',
        "fail-open-missing-data",
        _GOOD
        + "good if {\n\tis_object(data.guardrails_data.project.closed)\n"
        + "\tnot data.guardrails_data.project.closed[input.tool.name]\n}",
    ),
    # 3. A message, or a name, that is undefined.
    Case(
        'deny contains sprintf("no %v", [input.args.note]) if input.tool.name == "x"',
        "fail-open-message",
        'deny contains "no" if input.tool.name == "x"',
    ),
    Case(
        'deny contains "m" if input.args.force',
        "fail-open-missing-argument",
        _GOOD + "good if input.args.force == false",
    ),
    Case(
        'require_approval contains {"reason": input.args.why, "approvers": ["a"], "quorum": 1,'
        ' "expires_in": 60} if input.tool.name == "x"',
        "fail-open-message",
        'require_approval contains {"reason": "why", "approvers": ["a"], "quorum": 1,'
        ' "expires_in": 60} if input.tool.name == "x"',
    ),
    # 4. `!=` on a field that may be missing.
    Case(
        'deny contains "m" if input.args.team != "ops"',
        "fail-open-not-equal",
        _GOOD + 'good if input.args.team == "ops"',
    ),
    # 5. By a list of what is bad; by an ending.
    Case(
        'deny contains "m" if input.args.table in {"users", "keys"}',
        "fail-open-list",
        _GOOD + 'good if input.args.table in {"orders", "prices"}',
    ),
    Case(
        'deny contains "m" if startswith(input.args.path, "/etc")',
        "fail-open-list",
        _GOOD + 'good if input.args.path in {"/srv/a"}',
    ),
    Case(
        'deny contains "m" if lower(input.args.table) == "users"',
        "fail-open-list",
        _GOOD + 'good if lower(input.args.table) == "orders"',
    ),
    Case(
        _GOOD + 'good if endswith(input.args.to, "@acme.example")',
        "fail-open-suffix",
        _GOOD + 'good if input.args.to in {"a@acme.example"}',
    ),
    # 6. `every` over nothing, and over an object.
    Case(
        _GOOD + 'good if {\n\tevery to in input.args.to {\n\t\tto == "a"\n\t}\n}',
        "fail-open-every",
        _GOOD
        + "good if {\n\tis_array(input.args.to)\n\tcount(input.args.to) > 0\n"
        + '\tevery to in input.args.to {\n\t\tto == "a"\n\t}\n}',
    ),
    Case(
        _GOOD
        + "good if {\n\tis_array(input.args.to)\n"
        + '\tevery to in input.args.to {\n\t\tto == "a"\n\t}\n}',
        "fail-open-every",
        _GOOD
        + "good if {\n\tis_array(input.args.to)\n\tcount(input.args.to) > 0\n"
        + '\tevery to in input.args.to {\n\t\tto == "a"\n\t}\n}',
    ),
    # 7. `in` over the keys of an object.
    Case(
        _GOOD + 'good if not "force" in input.args',
        "fail-open-in-object",
        _GOOD + 'good if not "force" in object.keys(input.args)',
    ),
    Case(
        _GOOD + 'good if not "usd" in input.run.remaining',
        "fail-open-in-object",
        _GOOD + 'good if not "usd" in object.keys(input.run.remaining)',
    ),
    # 8. A pattern that is found anywhere.
    Case(
        _GOOD + "good if regex.match(`[a-z]+$`, input.args.name)",
        "fail-open-regex",
        _GOOD + "good if regex.match(`^[a-z]+$`, input.args.name)",
    ),
    Case(
        _GOOD + "good if regex.match(`^a$|b$`, input.args.name)",
        "fail-open-regex",
        _GOOD + "good if regex.match(`^(a|b)$`, input.args.name)",
    ),
    Case(
        _GOOD + "good if regex.match(name, input.args.name)\n\nname := `^[a-z]+`",
        "fail-open-regex",
        _GOOD + "good if regex.match(name, input.args.name)\n\nname := `^[a-z]+$`",
    ),
    # 9. object.get on what may be no object.
    Case(
        _GOOD + 'good if object.get(input.args, "mode", "safe") == "safe"',
        "fail-open-object-get",
        _GOOD + 'good if object.get(input, ["args", "mode"], "safe") == "safe"',
    ),
    # 10. A contribution of another kind, and one that is misspelt.
    Case(
        'deny if input.tool.name == "x"',
        "contribution",
        'deny contains "m" if input.tool.name == "x"',
    ),
    Case('deny := {"m"}', "contribution", 'deny contains "m" if input.tool.name == "x"'),
    Case(
        'denny contains "m" if input.tool.name == "x"',
        "contribution",
        'deny contains "m" if input.tool.name == "x"',
    ),
    Case("deny(x) := x", "contribution", 'deny contains "m" if input.tool.name == "x"'),
    # 11. Numbers of another scale.
    Case(
        _GOOD
        + "good if {\n\tis_number(input.args.amount)\n"
        + "\tinput.args.amount <= data.guardrails_data.project.limit\n}",
        "number-comparison",
        _GOOD
        + "good if {\n\tis_number(input.args.amount)\n"
        + "\tdata.guardrails_data.project.limit - input.args.amount >= 0\n}",
    ),
    Case(
        _GOOD + "good if {\n\tis_number(input.args.amount)\n\tinput.args.amount < 1000.5\n}",
        "number-comparison",
        _GOOD + "good if {\n\tis_number(input.args.amount)\n\t1000.5 - input.args.amount > 0\n}",
    ),
    # What decisions must not ask.
    Case(_GOOD + "good if time.now_ns() > 5", "nondeterminism", _GOOD + "good if input.time > 5"),
    Case(
        _GOOD + 'good if rand.intn("x", 5) == 1',
        "nondeterminism",
        _GOOD + "good if input.time == 1",
    ),
    Case(
        _GOOD + 'good if uuid.rfc4122("x") == "y"',
        "nondeterminism",
        _GOOD + 'good if input.call.id == "y"',
    ),
    Case(
        _GOOD + "good if {\n\tprint(input.args)\n\tinput.tool.name\n}",
        "nondeterminism",
        _GOOD + 'good if input.tool.name == "x"',
    ),
    # Fields that are not there.
    Case(
        _GOOD + 'good if input.tol.name == "x"',
        "unknown-input-field",
        _GOOD + 'good if input.tool.name == "x"',
    ),
    Case(
        _GOOD + 'good if input.agent.ownr == "x"',
        "unknown-input-field",
        _GOOD + 'good if input.agent.owner == "x"',
    ),
    Case(
        _GOOD + 'good if {\n\ttool := input.tool\n\ttool.nam == "x"\n}',
        "unknown-input-field",
        _GOOD + 'good if {\n\ttool := input.tool\n\ttool.name == "x"\n}',
    ),
    Case(
        "import input.agent\n\n" + _GOOD + 'good if agent.ident == "x"',
        "unknown-input-field",
        "import input.agent\n\n" + _GOOD + 'good if agent.id == "x"',
    ),
    Case(
        _GOOD + 'good if object.get(input, ["agent", "team"], "") == "x"',
        "unknown-input-field",
        _GOOD + 'good if object.get(input, ["agent", "owner"], "") == "x"',
    ),
    Case(
        _GOOD + 'good if {\n\tsome step in input.run.ancestry\n\tstep.agnt == "x"\n}',
        "unknown-input-field",
        _GOOD + 'good if {\n\tsome step in input.run.ancestry\n\tstep.agent == "x"\n}',
    ),
    Case(
        _GOOD + "good if data.guardrails_data.blocked_tool[input.tool.name] == []",
        "unknown-data-field",
        _GOOD + "good if data.guardrails_data.blocked_tools[input.tool.name] == []",
    ),
    Case(
        _GOOD + "good if data.limits[input.tool.name] == 1",
        "unknown-data-field",
        _GOOD + "good if data.guardrails_data.project[input.tool.name] == 1",
    ),
    Case(
        _GOOD + 'good if data.guardrails_data.agents[input.agent.id].ownr == "x"',
        "unknown-data-field",
        _GOOD + 'good if data.guardrails_data.agents[input.agent.id].owner == "x"',
    ),
    Case(
        _GOOD + "good if data.guardrails.rules.probe.godo\n\ngodo2 := 1",
        "unknown-rule",
        _GOOD + 'good if data.guardrails.rules.probe.other\n\nother if input.tool.name == "x"',
    ),
    # What never holds.
    Case('deny contains "m" if false', "never-fires", 'deny contains "m" if true'),
    Case('deny contains "m" if 1 > 2', "never-fires", 'deny contains "m" if 2 > 1'),
    Case(
        'deny contains "m" if {\n\tinput.tool.name == "a"\n\tinput.tool.name == "b"\n}',
        "never-fires",
        'deny contains "m" if {\n\tinput.tool.name == "a"\n\tinput.tool.resource == "b"\n}',
    ),
    Case(
        _GOOD + "good if {\n\tinput.run.calls > 5\n\tinput.run.calls < 3\n}",
        "never-fires",
        _GOOD + "good if {\n\tinput.run.calls > 3\n\tinput.run.calls < 5\n}",
    ),
    Case(
        'deny contains "m" if input.tool.name == 5',
        "never-fires",
        'deny contains "m" if input.tool.name == "5"',
    ),
    Case(
        'deny contains "m" if input.tool.labels == "moves_money"',
        "never-fires",
        'deny contains "m" if "moves_money" in input.tool.labels',
    ),
    Case(
        'deny contains "m" if input.run.mode == "shadowed"',
        "never-fires",
        'deny contains "m" if input.run.mode == "shadow"',
    ),
    Case(
        'deny contains "m" if input.tool.name in [1, 2]',
        "never-fires",
        'deny contains "m" if input.tool.name in ["1", "2"]',
    ),
    Case('deny contains "m" if not true', "never-fires", 'deny contains "m" if not false'),
    # What nobody uses, and what always allows.
    Case(
        'deny contains "m" if input.tool.name == "x"\n\nhelper if input.tool.name == "y"',
        "unused-rule",
        'deny contains "m" if helper\n\nhelper if input.tool.name == "y"',
    ),
    Case(
        'allow contains "m"', "unconditional-allow", 'allow contains "m" if input.tool.name == "x"'
    ),
    Case(
        'allow contains "m" if true',
        "unconditional-allow",
        'allow contains "m" if input.tool.operation == "read"',
    ),
    Case(
        'allow contains "m" if {\n\t1 == 1\n\tinput.agent.id\n\tis_string(input.tool.name)\n}',
        "unconditional-allow",
        'allow contains "m" if {\n\tis_string(input.tool.name)\n\tinput.tool.name == "x"\n}',
    ),
    Case(
        'allow contains reason if {\n\treason := "m"\n}',
        "unconditional-allow",
        'allow contains reason if {\n\treason := input.tool.name\n\treason == "x"\n}',
    ),
]
