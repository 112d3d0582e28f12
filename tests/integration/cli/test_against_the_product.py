"""The commands against a real `trailhook serve`: what one sends, the other takes."""

import asyncio
import json
from pathlib import Path

from typer.testing import CliRunner

from support.product import TOKEN
from support.service import environment, serving
from trailhook.cli.main import app

SOURCE = {
    "name": "prod",
    "credentials": {"region": "eu-central-1", "roleArn": "arn:aws:iam::123456789012:role/reader"},
    "callbackUrl": "http://127.0.0.1:9/hook",
    "s3Bucket": "example-trail-logs",
    "startFrom": "now",
}


async def test_every_command_is_understood_by_the_api(tmp_path: Path) -> None:
    env = environment(tmp_path / "data", hosts=("127.0.0.1:9",), endpoints=())
    file = tmp_path / "source.json"
    file.write_text(json.dumps(SOURCE))

    async with serving(env) as service:
        at = {"TRAILHOOK_URL": f"http://127.0.0.1:{service.api.port}", "TRAILHOOK_API_TOKEN": TOKEN, "COLUMNS": "200"}

        async def trailhook(*arguments: str) -> str:
            result = await asyncio.to_thread(CliRunner().invoke, app, list(arguments), env=at)
            assert result.exit_code == 0, result.output
            return result.stdout

        added = json.loads(await trailhook("source", "add", "--json", str(file), "--max-events", "7"))
        assert added["signingSecret"].startswith("whsec_")
        assert added["id"] in await trailhook("source", "list")
        assert json.loads(await trailhook("source", "show", "prod", "--json"))["delivery"]["maxEvents"] == 7
        await trailhook("source", "set", "prod", "--interval", "60", "--name", "staging")
        assert json.loads(await trailhook("source", "show", "staging", "--json"))["logFetchInterval"] == 60
        await trailhook("source", "pause", "staging")
        assert "paused" in await trailhook("source", "list", "--status", "paused")
        await trailhook("source", "resume", "staging")
        await trailhook("source", "fetch", "staging")
        assert json.loads(await trailhook("source", "status", "staging", "--json"))["counts"]["read"] == 0
        assert json.loads(await trailhook("deadletters", "list", "--source", "staging", "--json")) == {"deliveries": []}
        assert json.loads(await trailhook("quarantine", "list", "--source", "staging", "--json")) == {"quarantine": []}
        assert "Removed" in await trailhook("source", "remove", "staging", "--yes")

        token = (await trailhook("token", "create", "ci", "--scope", "read")).strip()
        assert token not in await trailhook("token", "list")
        made = next(
            each for each in json.loads(await trailhook("token", "list", "--json"))["tokens"] if each["name"] == "ci"
        )
        await trailhook("token", "revoke", made["id"])
        assert "ci" not in await trailhook("token", "list")
