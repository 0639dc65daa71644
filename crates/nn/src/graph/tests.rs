//! What a description says of itself: shapes, names, and what it refuses.

use super::*;

type Result<T> = std::result::Result<T, GraphError>;

fn shapes(graph: &Graph) -> Vec<String> {
    graph.nodes().iter().map(|node| node.shape.to_string()).collect()
}

#[test]
fn shapes_and_weights_follow_from_the_layers() {
    let mut g = GraphBuilder::new();
    let x = g.input("images", Shape::map(3, 17, 12));
    let x = g.conv("stem", x, Conv::new(8, Window::new(3).stride(2).padding(1)).bias()).unwrap();
    let y = g.batch_norm("norm", x);
    let y = g.activation(y, Activation::Silu);
    let wide = Window { kernel: (1, 3), padding: (0, 1), ..Window::new(1) };
    let y = g.conv("depthwise", y, Conv::new(8, wide).groups(8)).unwrap();
    let x = g.concat("join", &[x, y]).unwrap();
    let x = g.max_pool("pool", x, Window::new(3).stride(2).padding(1)).unwrap();
    let x = g.upsample("up", x, 2, Interpolation::Nearest).unwrap();
    let x = g.dense("head", x, 5, Init::he(1));
    let graph = g.finish(x).unwrap();
    let want = [
        "3 x 17 x 12",
        "8 x 9 x 6",
        "8 x 9 x 6",
        "8 x 9 x 6",
        "8 x 9 x 6",
        "16 x 9 x 6",
        "16 x 5 x 3",
        "16 x 10 x 6",
        "5 values",
    ];
    assert_eq!(shapes(&graph), want);
    assert_eq!(graph.readers(), [1, 2, 1, 1, 1, 1, 1, 1, 1]);
    let all = (0..graph.nodes().len()).flat_map(|place| graph.parameters(NodeId(place)));
    let all: Vec<_> = all.map(|value| format!("{} {:?}", value.name, value.shape)).collect();
    let want = [
        "stem.weight [8, 3, 3, 3]",
        "stem.bias [8]",
        "norm.scale [8]",
        "norm.shift [8]",
        "norm.running_mean [8]",
        "norm.running_variance [8]",
        "depthwise.weight [8, 1, 1, 3]",
        "head.weight [5, 960]",
        "head.bias [5]",
    ];
    assert_eq!(all, want);
}

#[test]
fn what_does_not_fit_is_refused_by_the_name_of_its_layer() {
    let error = |layers: fn(&mut GraphBuilder, NodeId) -> Result<NodeId>| {
        let mut g = GraphBuilder::new();
        let x = g.input("images", Shape::map(4, 6, 8));
        layers(&mut g, x).and_then(|x| g.finish(x)).unwrap_err().to_string()
    };
    let conv = error(|g, x| g.conv("stem", x, Conv::new(8, Window::new(7))));
    assert_eq!(conv, "stem: a kernel of 7 x 7 does not fit an input of 6 x 8");
    let groups = error(|g, x| g.conv("stem", x, Conv::new(8, Window::new(1)).groups(3)));
    assert_eq!(groups, "stem: 4 channels to 8 cannot be done in 3 groups");
    let stride = error(|g, x| g.conv("stem", x, Conv::new(8, Window::new(1).stride(0))));
    assert!(stride.starts_with("stem: a window needs"), "{stride}");
    let padding = error(|g, x| g.max_pool("pool", x, Window::new(2).padding(2)));
    assert!(padding.starts_with("pool: the padding"), "{padding}");
    let sum = error(|g, x| {
        let y = g.max_pool("pool", x, Window::new(2).stride(2))?;
        g.add("sum", x, y)
    });
    assert_eq!(sum, "sum: 4 x 6 x 8 and 4 x 3 x 4 cannot be added");
    let unread = error(|g, x| {
        g.conv("lost", x, Conv::new(8, Window::new(3)))?;
        Ok(g.dense("head", x, 2, Init::he(1)))
    });
    assert_eq!(unread, "lost: nothing reads the result of this layer");
    let twice = error(|g, x| {
        let y = g.batch_norm("norm", x);
        Ok(g.batch_norm("norm", y))
    });
    assert!(twice.starts_with("norm.scale: two layers"), "{twice}");
    assert!(error(|g, _| g.concat("join", &[])).starts_with("join: "));
    assert!(error(|g, x| g.upsample("up", x, 0, Interpolation::Nearest)).starts_with("up: "));
    assert_eq!(error(|g, x| Ok(g.dense("head", x, 0, Init::he(1)))), "head: this layer has no values");
}
