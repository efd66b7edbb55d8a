"""``gandt import``: a job done elsewhere is listed, described and has its history."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from service import running

from gandt import storage
from gandt.errors import InputError
from gandt.service.past import import_jobs
from gandt.service.store import open_store

ANSWER = {"crowd-image-classifier": {"label": "cat"}}


def job_folder(root: Path, name: str = "Old-Job") -> Path:
    """Write the output of a job of Ground Truth's: three objects, one labeled, one failed, one chained."""
    folder = root / name
    response = {
        "answers": [
            {
                "acceptanceTime": "2020-12-28T18:59:15.191Z", "answerContent": ANSWER,
                "submissionTime": "2020-12-28T18:59:58.321Z", "timeSpentInSeconds": 40.5, "workerId": worker,
                "workerMetadata": {"identityData": {"identityProviderType": "Cognito", "issuer": "x", "sub": "s"}},
            }
            for worker in ("private.us-east-1.aaaa", "private.us-east-1.bbbb", "private.us-east-1.aaaa")
        ]
    }  # fmt: skip
    where = folder / "annotations/worker-response/iteration-1/0/2020-12-28_18:59:58.json"
    where.parent.mkdir(parents=True)
    where.write_text(json.dumps(response))
    meta = {"class-name": "cat", "human-annotated": "yes", "job-name": "labeling-job/old-job", "confidence": 0.9}
    meta["creation-date"] = "2020-12-28T19:00:30.000001"
    older = {"creation-date": "2019-01-01T00:00:00", "job-name": "labeling-job/older", "human-annotated": "yes"}
    lines = [
        {"source-ref": "s3://b/0.jpg", "animal": 0, "animal-metadata": meta},
        {"source-ref": "s3://b/1.jpg"},
        {"source-ref": "s3://b/2.jpg", "animal": 1, "animal-metadata": older},
    ]
    manifest = folder / "manifests/output/output.manifest"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_past_jobs_are_listed_described_and_have_their_history(tmp_path) -> None:
    state, done = str(tmp_path / "state"), job_folder(tmp_path)
    described = {
        "LabelingJobName": "Old-Job", "LabelAttributeName": "animal", "LabelingJobStatus": "Completed",
        "CreationTime": "2020-12-28T18:00:00+00:00", "LastModifiedTime": "2020-12-28T20:00:00+01:00",
        "RoleArn": "arn:aws:iam::111122223333:role/own",
        "HumanTaskConfig": {
            "WorkteamArn": "arn:aws:sagemaker:us-east-1:111122223333:workteam/private-crowd/Team",
            "UiConfig": {"UiTemplateS3Uri": "s3://b/t.html"}, "TaskTitle": "Animals", "TaskDescription": "d",
            "NumberOfHumanWorkersPerDataObject": 3, "TaskTimeLimitInSeconds": 600,
        },
    }  # fmt: skip
    (tmp_path / "described.json").write_text(json.dumps(described))
    with running(state) as live:
        (told,) = import_jobs(str(done), state, described=str(tmp_path / "described.json"))
        assert told == {
            "job": "Old-Job", "status": "Completed", "objects": 3, "labeled": 2, "answers": 2, "imported": True,
        }  # fmt: skip
        assert import_jobs(str(done), state)[0]["imported"] is False
        shown = live.sagemaker.describe_labeling_job(LabelingJobName="old-job")
        assert (shown["RoleArn"], shown["HumanTaskConfig"]["TaskTitle"]) == (described["RoleArn"], "Animals")
        assert shown["CreationTime"].isoformat().startswith("2020-12-28")
        assert shown["LabelCounters"] == {
            "TotalLabeled": 2, "HumanLabeled": 1, "MachineLabeled": 0, "FailedNonRetryableError": 0, "Unlabeled": 1,
        }  # fmt: skip
        (listed,) = live.sagemaker.list_labeling_jobs(StatusEquals="Completed")["LabelingJobSummaryList"]
        assert listed["LabelingJobName"] == "Old-Job"
        team = described["HumanTaskConfig"]["WorkteamArn"]
        assert live.sagemaker.list_labeling_jobs_for_workteam(WorkteamArn=team)["LabelingJobSummaryList"]
        events = live.store.events("Old-Job")
        assert [(event.worker, event.what, event.content) for event in events] == [
            ("private.us-east-1.bbbb", "submitted", ANSWER),
            ("private.us-east-1.aaaa", "submitted", ANSWER),
        ]
        live.service.start()  # a restart leaves it alone
        assert live.store.job("old-job").status == "Completed"


def test_several_jobs_in_s3_without_a_description(s3, tmp_path) -> None:
    open_store(str(tmp_path / "state")).close()
    for name in ("Old-Job", "second"):
        folder = job_folder(tmp_path, name)
        for path in folder.rglob("*"):
            if path.is_file():
                storage.write_text(f"s3://bucket/out/{path.relative_to(tmp_path)}", path.read_text(), s3=s3)
    told = import_jobs("s3://bucket/out/", str(tmp_path / "state"), s3=s3)
    assert [(job["job"], job["status"], job["imported"]) for job in told] == [
        ("Old-Job", "Stopped", True),
        ("second", "Stopped", True),
    ]
    store = open_store(str(tmp_path / "state"))
    request = store.job("old-job").request
    assert (request["LabelAttributeName"], request["OutputConfig"]) == ("animal", {"S3OutputPath": "s3://bucket/out"})
    assert request["HumanTaskConfig"]["NumberOfHumanWorkersPerDataObject"] == 2
    assert [team.name for team in store.workteams()] == ["imported"]
    store.close()


def test_what_cant_be_imported_is_named(tmp_path) -> None:
    with pytest.raises(InputError, match="no service's state"):
        import_jobs(str(tmp_path), str(tmp_path / "none"))
    open_store(str(tmp_path / "state")).close()
    done = job_folder(tmp_path)
    bad: dict[str, Any]
    for bad in ({}, {"LabelingJobName": "x"}, {"LabelingJobName": "x", "HumanTaskConfig": 1}):
        (tmp_path / "bad.json").write_text(json.dumps(bad))
        with pytest.raises(InputError, match="describe-labeling-job"):
            import_jobs(str(done), str(tmp_path / "state"), described=str(tmp_path / "bad.json"))
    shutil.rmtree(done / "manifests")
    with pytest.raises(InputError, match="output folder"):
        import_jobs(str(done), str(tmp_path / "state"))
