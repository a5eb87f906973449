//! Whoever works on videos.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use crate::faults::VideoFault;

/// Questions that are answered before a video is done.
const POLLS: u32 = 2;

#[derive(Debug, Default)]
pub(crate) struct Videos {
    rights: Vec<(String, String)>,
    jobs: BTreeMap<String, Job>,
    begun: u32,
    pub(crate) faults: VecDeque<VideoFault>,
}

#[derive(Debug)]
struct Job {
    did: String,
    blob: Value,
    asked: u32,
    fails: bool,
    bare: bool,
}

impl Videos {
    /// The right to upload one video.
    pub(crate) fn right(&mut self, did: &str) -> String {
        let token = format!("right-{}-{did}", self.rights.len());
        self.rights.push((token.clone(), did.to_owned()));
        token
    }

    /// Spends a right.
    pub(crate) fn spend(&mut self, token: Option<&str>, did: &str) -> bool {
        let place =
            self.rights.iter().position(|(own, whose)| Some(own.as_str()) == token && whose == did);
        place.map(|place| self.rights.remove(place)).is_some()
    }

    /// Takes a video in; answers the status and what is told of its job.
    pub(crate) fn begin(&mut self, did: &str, blob: Value) -> (u16, Value) {
        let (id, fault) = (format!("job{}", self.begun), self.faults.pop_front());
        self.begun += 1;
        let is = |kind| fault == Some(kind);
        let mut told = json!({ "jobId": id, "did": did, "state": "JOB_STATE_CREATED" });
        if is(VideoFault::Known) {
            told["state"] = json!("JOB_STATE_COMPLETED");
            told["error"] = json!("already_exists");
            told["message"] = json!("Video already processed");
            told["blob"] = blob;
            return (409, told);
        }
        let (fails, bare) = (is(VideoFault::Fails), is(VideoFault::Bare));
        self.jobs.insert(id, Job { did: did.to_owned(), blob, asked: 0, fails, bare });
        (200, if bare { told } else { json!({ "jobStatus": told }) })
    }

    pub(crate) fn forget(&mut self) {
        self.jobs.clear();
    }

    pub(crate) fn status(&mut self, id: &str) -> Option<Value> {
        let job = self.jobs.get_mut(id)?;
        job.asked += 1;
        let mut told =
            json!({ "jobId": id, "did": job.did, "state": "JOB_STATE_ENCODING", "progress": 50 });
        if job.asked > POLLS {
            let state = if job.fails { "JOB_STATE_FAILED" } else { "JOB_STATE_COMPLETED" };
            told["state"] = json!(state);
            match job.fails {
                true => told["error"] = json!("the video has no picture"),
                false => told["blob"] = job.blob.clone(),
            }
        }
        Some(if job.bare { told } else { json!({ "jobStatus": told }) })
    }
}
