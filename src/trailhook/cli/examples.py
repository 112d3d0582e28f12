"""The examples that `--help` shows, by command."""

from collections.abc import Iterator, Mapping

import typer

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "serve": ("trailhook serve", "trailhook serve --port 9090 --data-dir /var/lib/trailhook"),
    "api": ("trailhook api --host 127.0.0.1 --port 8080",),
    "worker": ("trailhook worker --port 0",),
    "demo": ("trailhook demo", "trailhook demo --seconds 20 --rate 500"),
    "listen": (
        "trailhook listen --secret whsec_…",
        "trailhook listen --secret whsec_… --forward http://127.0.0.1:3000/hook",
        "trailhook listen --status 503",
    ),
    "events": (
        "trailhook events 'errorCode:AccessDenied user:*alice*' --from 2d",
        "trailhook events --follow 'NOT readOnly:true'",
        "trailhook events --source prod --from 1h --json > events.ndjson",
    ),
    "doctor": ("trailhook doctor", "trailhook doctor --json"),
    "migrate": (
        "trailhook migrate --to 'mongodb://127.0.0.1/trailhook?replicaSet=rs0'",
        "trailhook migrate --rollback",
    ),
    "verify": ("trailhook verify prod --from 2026-01-01T00:00:00Z --to 2026-01-02T00:00:00Z",),
    "settings": ("trailhook settings", "trailhook settings --json"),
    "source add": (
        "trailhook source add --name prod --bucket logs --region eu-central-1 --access-key-id AKIA… --callback-url URL",
        "trailhook source add --name audit --bucket logs --role-arn ARN --external-id ID --callback-url URL --verify",
        "trailhook source add --json source.json",
    ),
    "source set": ("trailhook source set prod --interval 60", "trailhook source set prod --json changes.json"),
    "source list": ("trailhook source list", "trailhook source list --status credentials_expired --json"),
    "source show": ("trailhook source show prod",),
    "source status": ("trailhook source status prod --json",),
    "source remove": ("trailhook source remove prod",),
    "source pause": ("trailhook source pause prod",),
    "source resume": ("trailhook source resume prod",),
    "source test": ("trailhook source test prod --policy",),
    "source filter": ("trailhook source filter prod filter.json --last 10000",),
    "source fetch": ("trailhook source fetch prod",),
    "source backfill": (
        "trailhook source backfill prod --from 2026-01-01 --to 2026-01-31 --dry-run",
        "trailhook source backfill prod --from 2026-01-01 --detach",
        "trailhook source backfill prod --stop",
    ),
    "source replay": (
        "trailhook source replay prod --from 2026-01-01T12:00:00Z --to 2026-01-01T13:00:00Z",
        "trailhook source replay prod --batch msg_…",
    ),
    "deadletters list": ("trailhook deadletters list --source prod",),
    "deadletters show": ("trailhook deadletters show msg_…",),
    "deadletters retry": ("trailhook deadletters retry msg_…", "trailhook deadletters retry --all --source prod"),
    "deadletters discard": ("trailhook deadletters discard msg_…",),
    "quarantine list": ("trailhook quarantine list --source prod --json",),
    "quarantine retry": ("trailhook quarantine retry u-17",),
    "token create": ("trailhook token create prometheus --scope read", "trailhook token create ci --scope write"),
    "token list": ("trailhook token list",),
    "token revoke": ("trailhook token revoke ID",),
    "key new": ("trailhook key new",),
    "key rotate": ("trailhook key rotate --data-dir /var/lib/trailhook",),
}


def show_examples(app: typer.Typer) -> None:
    """Put them under the help of each command."""
    for name, command in named(app):
        if name in EXAMPLES:  # a line each: the help makes one paragraph of lines that nothing parts
            command.epilog = "\n\n".join(("Examples:", *EXAMPLES[name]))


def named(app: typer.Typer, above: str = "") -> Iterator[tuple[str, typer.models.CommandInfo]]:
    """Every command by its words."""
    for command in app.registered_commands:
        if command.callback is not None:
            yield above + (command.name or command.callback.__name__), command
    for group in app.registered_groups:
        if group.typer_instance is not None:
            yield from named(group.typer_instance, f"{above}{group.name} ")
