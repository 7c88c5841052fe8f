use xmpp_core::{Frame, Limits, Scanner};

#[test]
fn smoke() {
    let mut s = Scanner::new(Limits::default());
    s.feed(b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'> <message to='a@b/c' type='chat' id='1'><body>hi &amp; <![CDATA[<x>]]></body><x xmlns='urn:x' xmlns:p='urn:p' p:a=\"it's\"/></message><auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>=</auth></stream:stream>");
    let mut all = Vec::new();
    while let Some(f) = s.next().unwrap() {
        all.push(f);
    }
    println!("{all:#?}");
    let Frame::Stanza(st) = &all[1] else { panic!() };
    let mut out = Vec::new();
    st.write(&mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "<message to='a@b/c' id='1' type='chat'><body>hi &amp; &lt;x&gt;</body><x xmlns='urn:x' xmlns:p='urn:p' p:a='it&apos;s'/></message>"
    );
    assert!(matches!(all[3], Frame::Close));
}
