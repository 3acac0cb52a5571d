use super::*;
use crate::Store;

fn open(data: &Path) -> Store {
    Store::open(data, Limits::default()).unwrap().0
}

#[tokio::test]
async fn a_panic_in_the_thread_is_trouble_and_not_silence() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    let mut written = store.journal.written();
    store.journal.push(Item::Panic);
    let troubled = written.wait_for(|written| written.trouble.is_some());
    let trouble = troubled.await.unwrap().trouble.clone().unwrap();
    assert!(trouble.text.contains("on purpose"), "{}", trouble.text);
    let attention = store.journal.attention();
    assert_eq!(attention[0].kind, "journal");
    assert!(!store.journal.flush().await);
    // It goes on: who asks is answered.
    let (done, answer) = oneshot::channel();
    let memory = Memory {
        agent: "a".parse().unwrap(),
        next: None,
        wanted: None,
        serving: None,
        permanent: None,
        kept: Vec::new(),
        versions: Vec::new(),
        reload: None,
        endings: Vec::new(),
        history: Vec::new(),
        removed_at: None,
        last_error: None,
        rollbacks: Vec::new(),
    };
    let reply: Reply = Box::new(move |result| done.send(result).unwrap());
    store.journal.remember(memory, Some(reply));
    let refused = answer.await.unwrap().unwrap_err();
    assert!(refused.contains("on purpose"), "{refused}");
    assert!(!store.journal.stop().await);
}
