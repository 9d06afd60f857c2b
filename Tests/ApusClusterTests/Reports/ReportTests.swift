import ApusCluster
import ApusMessaging
import Testing

/// What the client commands show, for people and for programs.
@Suite struct ReportTests {
  private func status(_ completed: [Int], tasks: Int = 0, unassigned: Int = 0) -> StatusReport {
    StatusReport(
      controller: "tcp://here:1", source: "/file",
      engines: completed.enumerated().map {
        .init(
          id: $0.offset, uuid: "e\($0.offset)", kind: $0.offset == 0 ? "python" : "swift", queued: 0, tasks: tasks,
          completed: $0.element)
      }, unassigned: unassigned)
  }

  @Test func ratesAreMeasuredBetweenTwoLooks() {
    var later = status([30, 5], tasks: 1, unassigned: 2)
    later.measure(since: status([10]), seconds: 2)
    #expect(later.engines.map(\.rate) == [10, nil])
    #expect(
      later.text(isStyled: false) == """
        Controller  tcp://here:1  /file
        Engines     2 (1 python, 1 swift)
        Tasks       4 under way, 2 of them wait for an engine; 10.0 tasks/s

        ENGINE  KIND    QUEUED  TASKS  DONE  TASKS/S
             0  python       0      1    30     10.0
             1  swift        0      1     5

        """)
    #expect(later.json["rate"] == 10.0)
    #expect(later.json["engines"]?.arrayValue?.last?["kind"] == "swift")
    #expect(later.json["engines"]?.arrayValue?.last?["rate"] == .null)
    // An engine that came back begins to count anew.
    later.measure(since: status([40, 5]), seconds: 1)
    #expect(later.rate == 0)
    later.measure(since: status([0]), seconds: 0)
    #expect(later.rate == 0)
  }

  @Test func aClusterWithoutEnginesIsShown() {
    #expect(status([]).text(isStyled: false).split(separator: "\n").count == 3)
    #expect(status([]).json["rate"] == .null)
  }

  @Test func tasksHaveStates() {
    func task(_ fields: JSONObject) -> TaskReport { TaskReport(id: "t", fields: fields, engines: ["e0": 0]) }
    #expect(task([:]).state == .pending)
    #expect(task(["engine_uuid": "e0"]).state == .running)
    let done = task([
      "engine_uuid": "e0", "label": "mine", "submitted": "2026-01-31T09:08:06Z", "started": "2026-01-31T09:08:07.25Z",
      "completed": "2026-01-31T09:08:08.5Z", "result_content": ["status": "ok"],
    ])
    #expect(done.state == .done)
    #expect(done.seconds == 1.25)
    let failed = task([
      "engine_uuid": "a-long-name-of-one-that-is-gone", "completed": "2026-01-31T09:08:08Z",
      "result_content": ["status": "error", "ename": "ValueError", "evalue": "no\nmore"],
    ])
    #expect(failed.state == .failed)
    #expect(failed.error == "ValueError: no\nmore")
    #expect(failed.seconds == nil)
    #expect(task(["result_content": ["status": "aborted"]]).state == .failed)
    // Nothing of it is as it should be.
    #expect(
      task(["engine_uuid": 5, "submitted": [], "completed": "soon", "result_content": "x", "label": .null]).state == .pending)
    #expect(
      TaskReport.table([done, failed], isStyled: false) == """
        ID  LABEL     ENGINE  STATE   SUBMITTED             DURATION  ERROR
        t   mine           0  done    2026-01-31 09:08:06Z    1.25 s
        t          a-long-n…  failed                                  ValueError: no more

        """)
    #expect(done.json["duration_s"] == 1.25)
    #expect(done.json["status"] == "done")
    #expect(failed.json["engine"] == "a-long-name-of-one-that-is-gone")
  }

  @Test func cellsAreShownAsIPythonShowsThem() {
    var cell = CellReport(engine: 0, status: .ok, result: "42", count: 3)
    #expect(cell.resultText(isStyled: false) == "Out[0:3]: 42\n")
    cell.result = "[1,\n 2]"
    #expect(cell.resultText(isStyled: false) == "Out[0:3]:\n[1,\n 2]\n")
    #expect(cell.resultText(isStyled: true)?.contains("\u{1B}[31mOut[") == true)
    #expect(cell.errorText(isStyled: false) == nil)
    cell.error = RemoteError(name: "ValueError", value: "no", traceback: ["\u{1B}[31m---\u{1B}[0m", "ValueError: no"])
    #expect(cell.errorText(isStyled: false) == "[0:execute]\n---\nValueError: no\n")
    #expect(cell.errorText(isStyled: true)?.contains("\u{1B}[31m---") == true)
    #expect(cell.errorText(isStyled: false, isBrief: true) == "[0:execute] ValueError: no\n")
    #expect(cell.json["error"] == ["name": "ValueError", "value": "no", "traceback": ["---", "ValueError: no"]])
    #expect(cell.json["duration_s"] == .null)
  }
}
