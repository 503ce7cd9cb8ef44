//! Numbers of a lane's requests: they rise, so that no request is executed twice, and none is
//! interrupted for another that had its number.

use lane::Kind;

/// What has been asked for on one lane.
#[derive(Default)]
pub(crate) struct Requests {
    /// Number of the last request.
    last: u64,
    /// Its kind, while more frames of it may come.
    unfinished: Option<Kind>,
}

/// Where a frame belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Belongs {
    /// It begins a request: what has come of an unfinished one never ends.
    New,
    /// It goes on with the last one.
    Last,
    /// It is no request, and is not answered by number.
    Aside,
}

impl Requests {
    /// A frame of this kind and number has come.
    ///
    /// # Errors
    /// It is a request that may have been executed already: the lane is to be closed.
    pub(crate) fn heed(&mut self, kind: Kind, request: u64) -> Result<Belongs, &'static str> {
        if matches!(kind, Kind::Bind | Kind::Ahead | Kind::After) {
            return Ok(Belongs::Aside);
        }
        let goes_on = match self.unfinished {
            Some(Kind::Part) => matches!(kind, Kind::Part | Kind::Call | Kind::Exec),
            Some(Kind::Return) => kind == Kind::Return,
            _ => false,
        };
        let belongs = match request {
            number if number > self.last => Belongs::New,
            number if number == self.last && goes_on => Belongs::Last,
            _ => return Err("a request with a number that is not new"),
        };
        self.last = request;
        self.unfinished = matches!(kind, Kind::Part | Kind::Return).then_some(kind);
        Ok(belongs)
    }

    /// The last frame of the last request has come.
    pub(crate) fn finish(&mut self) {
        self.unfinished = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of frames one after another; `None`: refused.
    fn heed(frames: &[(Kind, u64)]) -> Vec<Option<Belongs>> {
        let mut requests = Requests::default();
        let heed = |&(kind, request)| requests.heed(kind, request).ok();
        frames.iter().map(heed).collect()
    }

    #[test]
    fn numbers_rise() {
        use Belongs::New;
        use Kind::{Call, Exec, Fork};
        let gaps = [(Call, 1), (Fork, 2), (Exec, 9), (Call, u64::MAX)];
        assert_eq!(heed(&gaps), [Some(New); 4]);
        assert_eq!(heed(&[(Call, 0)]), [None]);
        assert_eq!(heed(&[(Call, 2), (Call, 2)]), [Some(New), None]);
        assert_eq!(heed(&[(Call, 2), (Fork, 1)]), [Some(New), None]);
        // A refused one changes nothing.
        let after = [(Call, 2), (Call, 1), (Call, 3)];
        assert_eq!(heed(&after), [Some(New), None, Some(New)]);
    }

    #[test]
    fn words_have_no_numbers() {
        use Belongs::{Aside, New};
        use Kind::{After, Ahead, Bind, Call};
        let frames = [(Call, 5), (Bind, 0), (Ahead, 0), (After, 0), (Call, 6)];
        let aside = Some(Aside);
        assert_eq!(heed(&frames), [Some(New), aside, aside, aside, Some(New)]);
    }

    #[test]
    fn a_request_in_parts_has_one_number() {
        use Belongs::{Last, New};
        use Kind::{Call, Exec, Fork, Part, Return};
        let (new, last) = (Some(New), Some(Last));
        let whole = [(Part, 1), (Part, 1), (Exec, 1), (Exec, 1), (Part, 1)];
        assert_eq!(heed(&whole), [new, last, last, None, None]);
        assert_eq!(heed(&[(Part, 1), (Fork, 1)]), [new, None]);
        assert_eq!(heed(&[(Return, 1), (Return, 1)]), [new, last]);
        assert_eq!(heed(&[(Return, 1), (Part, 1)]), [new, None]);
        // Given up by the host.
        assert_eq!(
            heed(&[(Return, 1), (Call, 2), (Return, 2)]),
            [new, new, None]
        );
        assert_eq!(heed(&[(Part, 1), (Call, 2), (Call, 1)]), [new, new, None]);
    }

    #[test]
    fn a_finished_request_does_not_go_on() {
        let mut requests = Requests::default();
        assert_eq!(requests.heed(Kind::Return, 1), Ok(Belongs::New));
        assert_eq!(requests.heed(Kind::Return, 1), Ok(Belongs::Last));
        requests.finish();
        assert!(requests.heed(Kind::Return, 1).is_err());
        assert_eq!(requests.heed(Kind::Return, 2), Ok(Belongs::New));
    }
}
