use super::*;

const A: RequestId = RequestId::new(1);
const B: RequestId = RequestId::new(2);
const FIRST: PollId = PollId(1);
const SECOND: PollId = PollId(2);

/// With run `A` taken by the first poll.
fn taken() -> State {
    let mut state = State::default();
    assert_eq!(state.poll(FIRST), Poll::Wait);
    assert_eq!(state.offer(A), Some(FIRST));
    state
}

#[test]
fn a_poll_waits_for_a_run_and_a_run_for_a_poll() {
    let mut state = taken();
    assert_eq!(state.answer(A), Answer::Take);
    state.end_answer(A);
    assert_eq!(state.offer(B), None);
    assert_eq!(state.poll(SECOND), Poll::Deliver(B));
    assert_eq!(state.answer(B), Answer::Take);
}

#[test]
fn an_answer_counts_once_for_the_run_that_was_taken() {
    let mut state = taken();
    assert_eq!(state.answer(B), Answer::Refuse(OutOfTurn::NoSuchRun));
    assert_eq!(state.answer(A), Answer::Take);
    assert_eq!(state.answer(A), Answer::Refuse(OutOfTurn::Answered));
    state.end_answer(A);
    assert_eq!(state.answer(A), Answer::Refuse(OutOfTurn::NoSuchRun));
    // One that was never given to the guest.
    assert_eq!(state.offer(B), None);
    assert_eq!(state.answer(B), Answer::Refuse(OutOfTurn::NoSuchRun));
}

#[test]
fn one_poll_at_a_time_and_none_before_the_last_event_is_answered() {
    let mut state = State::default();
    assert_eq!(state.poll(FIRST), Poll::Wait);
    assert_eq!(state.poll(SECOND), Poll::Refuse(OutOfTurn::AnotherPolls));
    assert_eq!(state.offer(A), Some(FIRST));
    assert_eq!(state.poll(SECOND), Poll::Refuse(OutOfTurn::Unanswered));
    assert_eq!(state.answer(A), Answer::Take);
    assert_eq!(state.poll(SECOND), Poll::Refuse(OutOfTurn::Unanswered));
    state.end_answer(A);
    assert_eq!(state.poll(SECOND), Poll::Wait);
}

#[test]
fn the_answer_to_a_withdrawn_run_goes_nowhere_and_the_guest_goes_on() {
    let mut state = taken();
    state.withdraw(A);
    assert_eq!(state.offer(B), None);
    assert_eq!(state.answer(A), Answer::Drop);
    assert_eq!(state.answer(A), Answer::Refuse(OutOfTurn::NoSuchRun));
    assert_eq!(state.poll(SECOND), Poll::Deliver(B));
    // A guest that goes on without an answer has given it up.
    state.withdraw(B);
    assert_eq!(state.poll(FIRST), Poll::Wait);
    assert_eq!(state.answer(B), Answer::Refuse(OutOfTurn::NoSuchRun));
    // What nobody took leaves nothing behind.
    let mut state = State::default();
    assert_eq!(state.offer(A), None);
    state.withdraw(A);
    assert_eq!(state.answer(A), Answer::Refuse(OutOfTurn::NoSuchRun));
}

#[test]
fn an_event_whose_connection_is_lost_is_offered_again() {
    let mut state = taken();
    state.lose_poll(SECOND);
    assert_eq!(state.poll(SECOND), Poll::Refuse(OutOfTurn::Unanswered));
    state.lose_poll(FIRST);
    assert_eq!(state.answer(A), Answer::Refuse(OutOfTurn::NoSuchRun));
    assert_eq!(state.poll(SECOND), Poll::Deliver(A));
    // One that waits leaves its place to another.
    let mut state = State::default();
    assert_eq!(state.poll(FIRST), Poll::Wait);
    state.lose_poll(FIRST);
    assert_eq!(state.poll(SECOND), Poll::Wait);
    assert_eq!(state.offer(A), Some(SECOND));
}

#[test]
fn an_initialisation_fails_before_the_first_poll_alone() {
    let mut state = State::default();
    assert_eq!(state.fail_initialisation(), Ok(()));
    assert_eq!(state.poll(FIRST), Poll::Wait);
    assert_eq!(state.fail_initialisation(), Err(OutOfTurn::Initialised));
}

/// What a test knows of all runs, beside the state.
#[derive(Default)]
struct Seen {
    runs: u64,
    polls: u64,
    /// The run that the fabric waits for, and whether the guest has it.
    open: Option<(RequestId, bool)>,
    answered: Vec<RequestId>,
}

#[test]
fn no_sequence_of_requests_lets_an_answer_reach_another_run() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut state, mut seen) = (State::default(), Seen::default());
        for _ in 0..500 {
            step(&mut state, &mut seen, &mut random);
        }
        assert!(!seen.answered.is_empty(), "seed {seed} reaches an answer");
    }
}

/// One event that the fabric or the guest can cause, with any of the last few ids.
fn step(state: &mut State, seen: &mut Seen, random: &mut fastrand::Rng) {
    let some_run = RequestId::new(u128::from(seen.runs.saturating_sub(random.u64(0..4))));
    let some_poll = PollId(seen.polls.saturating_sub(random.u64(0..4)));
    match random.u8(0..7) {
        0 if seen.open.is_none() => {
            seen.runs += 1;
            let id = RequestId::new(u128::from(seen.runs));
            let poll = state.offer(id);
            seen.open = Some((id, poll.is_some()));
        }
        1 => {
            seen.polls += 1;
            if let Poll::Deliver(id) = state.poll(PollId(seen.polls)) {
                assert_eq!(seen.open, Some((id, false)), "what is delivered waits for it");
                seen.open = Some((id, true));
            }
        }
        2 => {
            let was_taken = matches!(state.run, Some((_, Phase::Taken(by))) if by == some_poll);
            state.lose_poll(some_poll);
            if let (true, Some((_, has_it))) = (was_taken, &mut seen.open) {
                *has_it = false;
            }
        }
        3 | 4 => {
            if state.answer(some_run) == Answer::Take {
                assert_eq!(seen.open, Some((some_run, true)), "the guest has it");
                assert!(!seen.answered.contains(&some_run), "and answers once");
                seen.answered.push(some_run);
            }
        }
        5 => {
            let is_whole = seen.answered.last() == Some(&some_run);
            state.end_answer(some_run);
            if is_whole && seen.open.is_some_and(|(id, _)| id == some_run) {
                seen.open = None;
            }
        }
        _ => {
            state.withdraw(some_run);
            if seen.open.is_some_and(|(id, _)| id == some_run) {
                seen.open = None;
            }
        }
    }
}
